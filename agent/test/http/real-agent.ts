import { aclSource } from '../../src/acl/source.ts'
import { SystemClock } from '../../src/clock/system-clock.ts'
import { type HttpServer, startHttp } from '../../src/http/server.ts'
import { StructureDesk } from '../../src/http/structure-view.ts'
import { MemoryLogStore } from '../../src/log/memory-log-store.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { RaftNode } from '../../src/node/node.ts'
import { asNodeId } from '../../src/raft/types.ts'
import { MemoryNetwork } from '../../src/transport/memory-transport.ts'
import { eventually } from '../node/in-process-cluster.ts'
import { unshortened } from '../node/unshortened.ts'

const silent = { info: () => {}, warn: () => {}, error: () => {} }

/** A whole agent in this process, alone in its cluster: the real node and machine behind the real HTTP. */
export async function realAgent(t: {
  teardown(end: () => Promise<void>): void
}): Promise<{ readonly http: HttpServer; readonly base: string }> {
  const id = asNodeId('node0')
  const contact = { id, address: '127.0.0.1:8185', raftBind: '127.0.0.1:8186', gateway: null }
  const machine = new KvMachine({ file: null })
  const node = new RaftNode({
    identity: { clusterId: 'test', nodeId: id, incarnation: 'first' },
    contact,
    founders: [contact],
    log: new MemoryLogStore(),
    machine,
    snapshots: unshortened(),
    transport: new MemoryNetwork().transport({ ...contact, incarnation: 'first' }),
    clock: new SystemClock(),
    logger: silent,
    seed: 1,
    electionTimeoutMs: 200,
    heartbeatIntervalMs: 25,
    commitTimeoutMs: 2000,
    onFatal: error => {
      throw error
    },
  })
  await node.start()
  const http = await startHttp({
    node,
    acl: aclSource({ machine, feed: machine.changes, wallMs: Date.now, directory: null }),
    backup: { snapshot: () => machine.snapshot(), directory: null, clusterId: 'test' },
    structure: new StructureDesk('nginx/'),
    server: { listen: '127.0.0.1:0', socket: null, socketMode: 0o660 },
    limits: { closeGraceMs: 100, closeDrainMs: 0 },
    version: '1.2.3',
    log: silent,
  })
  t.teardown(async () => {
    await http.close()
    await node.stop()
  })
  await eventually('it is ready', () => (node.status().ready ? true : undefined))
  return { http, base: `http://127.0.0.1:${http.port}` }
}
