import t from 'tap'
import { SystemClock } from '../../src/clock/system-clock.ts'
import { type Disk, systemDisk } from '../../src/log/disk.ts'
import { SegmentLogStore } from '../../src/log/segment-log-store.ts'
import { RaftNode } from '../../src/node/node.ts'
import { asNodeId } from '../../src/raft/types.ts'
import { MemoryNetwork } from '../../src/transport/memory-transport.ts'
import { eventually } from './in-process-cluster.ts'
import { ListMachine } from './list-machine.ts'
import { unshortened } from './unshortened.ts'

/** The machine's disk, which tells of each write as it is begun. */
function telling(onWrite: (bytes: Uint8Array) => void): Disk {
  return {
    ...systemDisk,
    async open(path, mode) {
      const file = await systemDisk.open(path, mode)
      const write = file.write.bind(file)
      file.write = (bytes, at) => {
        onWrite(bytes)
        return write(bytes, at)
      }
      return file
    },
  }
}

t.test(
  'what a turn writes is on its way to the disk before the machine has the thread',
  async t => {
    const told: string[] = []
    let onFirstWrite = () => {}
    const disk = telling(bytes => {
      for (const command of ['first', 'second']) {
        if (Buffer.from(bytes).includes(command)) told.push(`write ${command}`)
      }
      if (told.length === 1) onFirstWrite()
    })
    const machine = new ListMachine()
    const apply = machine.apply.bind(machine)
    machine.apply = (entries, configuration) => {
      const commands = entries.flatMap(({ command }) => (command === null ? [] : [command]))
      told.push(...commands.map(command => `apply ${Buffer.from(command)}`))
      return apply(entries, configuration)
    }
    const id = asNodeId('n1')
    const contact = { id, address: 'n1:8185', raftBind: 'n1:8186', gateway: null }
    const node = new RaftNode({
      identity: { clusterId: 'test', nodeId: id, incarnation: 'n1-1' },
      contact,
      founders: [contact],
      log: new SegmentLogStore({ directory: t.testdir(), disk }),
      machine,
      snapshots: unshortened(),
      transport: new MemoryNetwork().transport({ ...contact, incarnation: 'n1-1' }),
      clock: new SystemClock(),
      logger: { info: () => {}, warn: () => {}, error: () => {} },
      seed: 1,
      electionTimeoutMs: 200,
      heartbeatIntervalMs: 25,
      commitTimeoutMs: 5_000,
      checkIntervalMs: 0,
      onFatal: error => t.fail(String(error)),
    })
    await node.start()
    t.teardown(() => node.stop())
    await eventually('it leads', () => node.status().role === 'leader' || undefined)
    // Proposed while the first is being written, so that the turn that applies the first writes the second.
    const second = new Promise(resolve => {
      onFirstWrite = () => resolve(node.propose(Buffer.from('second')))
    })
    await node.propose(Buffer.from('first'))
    await second
    t.strictSame(told, ['write first', 'write second', 'apply first', 'apply second'])
  },
)
