import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { SystemClock } from '../../src/clock/system-clock.ts'
import { SnapshotStore } from '../../src/log/snapshot-store.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import type { CommittedEntry } from '../../src/machine/state-machine.ts'
import { SnapshotBuilder } from '../../src/node/snapshot-builder.ts'
import { SnapshotCounters } from '../../src/node/snapshot-counters.ts'
import { SnapshotReceiver } from '../../src/node/snapshot-receiver.ts'
import { SnapshotSender } from '../../src/node/snapshot-sender.ts'
import type { Input } from '../../src/raft/input.ts'
import type { State } from '../../src/raft/state.ts'
import { asLogIndex, asTerm, type NodeId, type SnapshotHeader } from '../../src/raft/types.ts'
import { CHUNK_BYTES_MAX } from '../../src/transport/transport.ts'
import { entry } from '../machine/entries.ts'
import { set, text } from '../machine/kv-subject.ts'
import { tamperSealed } from '../machine/tamper.ts'
import { membersAt, node0, node1, until } from '../transport/harness.ts'
import { Relay } from '../transport/relay.ts'
import { freePorts, identity, started } from '../transport/tcp-harness.ts'
import { Lines, peerAt, type StateLike } from './snapshot-pair.ts'

const CONFIGURATION = Uint8Array.of(1, 2, 3)
const VALUE_BYTES = 8_000

const write = (index: number): CommittedEntry =>
  entry(index, 2, set([{ key: text(`k${index}`), value: Buffer.alloc(VALUE_BYTES, `${index} `) }]))

/** One node's files and threads. */
async function end(t: Test, id: NodeId, state: StateLike, options: { clusterId?: string } = {}) {
  const directory = join(t.testdirName, id)
  await mkdir(directory, { recursive: true })
  const machine = new KvMachine({ file: join(directory, 'kv.sqlite') })
  await machine.open({ ...identity(id), ...options })
  t.teardown(() => machine.close())
  const snapshots = join(directory, 'snapshots')
  const store = new SnapshotStore({ directory: snapshots, retain: 1 })
  await store.open(null)
  const entries: CommittedEntry[] = []
  const parts = {
    machine,
    store,
    clock: new SystemClock(),
    logger: new Lines(),
    counters: new SnapshotCounters(),
    reach: () => {},
    state: () => state as unknown as Readonly<State>,
  }
  return {
    ...parts,
    snapshots,
    entries,
    /** Applies entries up to this one, one a batch. */
    async applyTo(last: number) {
      for (let index = machine.applied().index + 1; index <= last; index++) {
        const next = write(index)
        entries.push(next)
        await machine.apply([next], CONFIGURATION)
      }
    },
  }
}

const follows = (): StateLike => ({
  term: 2,
  leader: node0,
  role: { kind: 'follower', progress: new Map() },
  install: null,
})

/** node1 with a receiver behind a transport, and what it holds. */
async function receiving(t: Test, ports: ReadonlyMap<NodeId, number>) {
  const follower = await end(t, node1, follows())
  const receiver = new SnapshotReceiver(follower)
  const link = await started(t, node1, ports)
  link.recorder.onChunk = (from, chunk) => receiver.onChunk(from, chunk)
  return { ...follower, receiver, link }
}

t.test('a follower is brought level while writes go on, over a connection that breaks', async t => {
  const ports = await freePorts()
  t.testdir()
  const follower = await receiving(t, ports)
  const relay = await Relay.to(t, ports.get(node1) ?? 0)
  const link = await started(t, node0, new Map([[node0, ports.get(node0) ?? 0]]))
  link.transport.setMembership({
    members: membersAt(new Map(ports).set(node1, relay.port)),
    open: false,
  })
  await until(() => link.connected(node1), 'connected')

  const leads: StateLike = {
    term: 2,
    leader: node0,
    role: { kind: 'leader', progress: new Map([[node1, peerAt(0)]]) },
    install: null,
  }
  const leader = await end(t, node0, leads)
  await leader.applyTo(1_000)
  const posted: Input[] = []
  const builder = new SnapshotBuilder(leader)
  const sender = new SnapshotSender({
    ...leader,
    self: node0,
    builder,
    transport: link.transport,
    post: input => void posted.push(input),
    bytesPerSecond: 64 * 1024 * 1024,
  })
  let cuts = 0
  relay.onBytes = () => {
    if (relay.bytes < (cuts + 1) * 3_000_000 || cuts === 2) return
    cuts++
    relay.cut()
  }
  sender.send(node1, asLogIndex(1))
  let last = 1_000
  while (posted.length === 0) {
    last++
    await leader.applyTo(last)
    await new Promise(resolve => setImmediate(resolve))
  }
  t.same(posted, [{ kind: 'snapshot-sent', to: node1, ok: true }], leader.logger.lines.join())
  t.equal(cuts, 2)
  t.equal(link.recorder.unreachable.length >= 2, true, 'both were noticed')
  const stored = leader.store.newest()
  if (stored === null) throw new Error('nothing was built')
  const { header } = stored
  const twice = leader.counters.bytesSent - header.bytes
  t.equal(header.bytes > 8_000_000, true)
  t.equal(twice <= cuts * CHUNK_BYTES_MAX, true, `${twice} bytes were sent twice`)
  t.equal(last > header.position.index, true, 'writes went on')

  await until(
    () => follower.link.recorder.messages.some(({ kind }) => kind === 'install-snapshot'),
    'the message follows',
  )
  const file = follower.receiver.ready(header)
  t.not(file, null)
  await follower.machine.restore(file ?? '')
  await follower.receiver.installed()
  t.same(await readdir(follower.snapshots), [])
  t.match(follower.machine.applied(), header.position)
  await follower.applyTo(last)
  t.same(follower.machine.applied(), leader.machine.applied(), 'the same history and answers')
  await sender.stop()
})

/** A snapshot file that `change` has spoiled, and the header that describes it as it is. */
async function spoiled(
  t: Test,
  change: (file: string) => void | Promise<void>,
  clusterId = 'test',
): Promise<{ header: SnapshotHeader; bytes: Uint8Array }> {
  const directory = t.testdir()
  const machine = new KvMachine({ file: join(directory, 'sender.sqlite') })
  await machine.open({ ...identity(node0), clusterId })
  for (let index = 1; index <= 5; index++) await machine.apply([write(index)], CONFIGURATION)
  const file = join(directory, 'snapshot')
  const view = await machine.snapshot()
  await view.writeTo(file)
  view.release()
  await machine.close()
  await change(file)
  const bytes = await readFile(file)
  const header = {
    position: { index: asLogIndex(5), term: asTerm(2) },
    configuration: CONFIGURATION,
    id: `${'5'.padStart(16, '0')}-${'2'.padStart(16, '0')}-abcdef01`,
    bytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  }
  return { header, bytes }
}

/** What it says of itself is true again. */
const sql = (statement: string) => (file: string) => tamperSealed(file, statement)

async function flipByte(file: string): Promise<void> {
  const bytes = await readFile(file)
  const at = Math.floor(bytes.length / 2)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  await writeFile(file, bytes)
}

const BAD: readonly [string, (file: string) => void | Promise<void>, RegExp, string?][] = [
  [
    'a trigger',
    sql('CREATE TRIGGER evil AFTER UPDATE ON _raft BEGIN DELETE FROM kv; END'),
    /tables are not those/,
  ],
  ['a view', sql('CREATE VIEW evil AS SELECT 1'), /tables are not those/],
  ['a table more', sql('CREATE TABLE evil(x)'), /tables are not those/],
  ['a flipped byte', flipByte, /differs from its checksum|damaged/],
  ['no SQLite', file => writeFile(file, 'x'.repeat(50_000)), /not a database/],
  ['another cluster', () => {}, /belongs to clusterId other/, 'other'],
  ['another value', sql("UPDATE kv SET value = x'00' WHERE key = CAST('k3' AS BLOB)"), /checksum/],
  ['another position', sql('UPDATE _raft SET applied_index = 4'), /the file is of 4/],
  ['other members', sql("UPDATE _raft SET configuration = x'09'"), /other members/],
]

t.test('attack row 34: a bad snapshot is refused, and the old state kept', async t => {
  const ports = await freePorts()
  t.testdir()
  const follower = await receiving(t, ports)
  await follower.applyTo(3)
  const before = follower.machine.applied()
  const link = await started(t, node0, ports)
  await until(() => link.connected(node1), 'connected')
  const send = ({ header, bytes }: { header: SnapshotHeader; bytes: Uint8Array }) =>
    link.transport.sendChunk(node1, { header, offset: 0, bytes })
  for (const [name, change, why, clusterId] of BAD) {
    t.test(name, async t => {
      const bad = await spoiled(t, change, clusterId)
      t.match(await send(bad), { kind: 'refused', why })
      t.equal(follower.receiver.ready(bad.header), null)
      t.same(await readdir(follower.snapshots), [])
      t.same(follower.machine.applied(), before)
      const { row } = follower.machine.query({ kind: 'get', key: text('k3') })
      t.equal(row?.value.length, VALUE_BYTES)
    })
  }
  t.test('and a good one is taken after all that', async t => {
    const good = await spoiled(t, () => {})
    t.same(await send(good), { kind: 'complete' })
    t.not(follower.receiver.ready(good.header), null)
  })
})
