import t from 'tap'
import type { Applied } from '../../src/machine/state-machine.ts'
import { asNodeId, asTerm, type SnapshotHeader } from '../../src/raft/types.ts'
import { CHUNK_BYTES_MAX, type SnapshotChunk } from '../../src/transport/transport.ts'
import { contentOf, headerOf } from '../log/snapshot-parts.ts'
import { DIRECTORY, leader, Pair } from './snapshot-pair.ts'

const content = contentOf(7, 1000)
const header = headerOf(7, content)
const whole: SnapshotChunk = { header, offset: 0, bytes: content }
const ask = (of: SnapshotHeader): SnapshotChunk => ({
  header: of,
  offset: 0,
  bytes: new Uint8Array(0),
})

t.test('only the leader’s snapshots are taken', async t => {
  const pair = await new Pair().open()
  t.match(await pair.receiver.onChunk(asNodeId('other'), whole), {
    kind: 'refused',
    why: /other does not lead/,
  })
  pair.to.state.leader = null
  t.match(await pair.receiver.onChunk(leader, whole), { kind: 'refused' })
  t.same(await pair.to.disk.list(DIRECTORY), [])
})

t.test(
  'what is not what its header says is refused, and nothing of it is left (attack row 34)',
  async t => {
    const pair = await new Pair().open()
    const right = pair.appliedAt(7)
    const refusals: readonly [() => Promise<Applied>, RegExp][] = [
      [async () => pair.appliedAt(8), /the file is of 8 in term 3, its header of 7 in term 3/],
      [async () => ({ ...right, term: asTerm(2) }), /of 7 in term 2/],
      [async () => ({ ...right, configuration: Buffer.from('others') }), /other members/],
      [() => Promise.reject(new Error('its tables are not those of this program')), /its tables/],
    ]
    for (const [inspect, why] of refusals) {
      pair.inspect = inspect
      t.match(await pair.receiver.onChunk(leader, whole), { kind: 'refused', why })
      t.equal(pair.receiver.ready(header), null)
      t.same(await pair.to.disk.list(DIRECTORY), [])
    }
    const lie = { ...header, sha256: 'a'.repeat(64) }
    t.match(await pair.receiver.onChunk(leader, { ...whole, header: lie }), {
      kind: 'refused',
      why: /SHA-256/,
    })
    t.equal(pair.to.counters.failed, 5)
    t.equal(pair.to.counters.received, 0)
    pair.inspect = async () => right
    t.same(await pair.receiver.onChunk(leader, whole), { kind: 'complete' })
    t.not(pair.receiver.ready(header), null)
  },
)

t.test('a full disk is told in words, and the next snapshot is taken', async t => {
  const pair = await new Pair().open()
  pair.inspect = async () => pair.appliedAt(7)
  const { disk } = pair.to
  for (const kind of ['create', 'write'] as const) {
    disk.plan = operation => (operation.kind === kind ? { code: 'ENOSPC', keep: () => true } : null)
    t.match(await pair.receiver.onChunk(leader, whole), { kind: 'refused', why: /ENOSPC/ })
    t.same(await disk.list(DIRECTORY), [])
  }
  disk.plan = () => null
  pair.to.room = 999
  t.match(await pair.receiver.onChunk(leader, whole), { kind: 'refused', why: /no room/ })
  pair.to.room = 1000
  t.same(await pair.receiver.onChunk(leader, whole), { kind: 'complete' })
})

t.test('who asks during the inspection gets its result; another snapshot waits', async t => {
  const pair = await new Pair().open()
  let inspected = (_applied: Applied) => {}
  let inspections = 0
  pair.inspect = () => {
    inspections++
    return new Promise(resolve => {
      inspected = resolve
    })
  }
  const first = pair.receiver.onChunk(leader, whole)
  await pair.until(() => inspections === 1, 'begun')
  const again = pair.receiver.onChunk(leader, ask(header))
  const other = headerOf(9, contentOf(9), 'b')
  t.match(await pair.receiver.onChunk(leader, ask(other)), {
    kind: 'refused',
    why: /another snapshot is being installed/,
  })
  inspected(pair.appliedAt(7))
  t.same(await Promise.all([first, again]), [{ kind: 'complete' }, { kind: 'complete' }])
  t.equal(inspections, 1)
})

t.test('etcd#20657 what is being installed is not replaced', async t => {
  const pair = await new Pair().open()
  pair.inspect = async () => pair.appliedAt(7)
  t.same(await pair.receiver.onChunk(leader, whole), { kind: 'complete' })
  pair.to.state.install = { header }
  const newer = headerOf(9, contentOf(9), 'b')
  t.match(await pair.receiver.onChunk(leader, ask(newer)), { kind: 'refused' })
  t.same(await pair.receiver.onChunk(leader, ask(header)), { kind: 'complete' })
  const file = pair.receiver.ready(header)
  t.equal(Buffer.compare(pair.to.disk.bytes(file ?? ''), content), 0)
  pair.to.state.install = null
  await pair.receiver.installed()
  t.same(await pair.receiver.onChunk(leader, ask(newer)), { kind: 'held', bytes: 0 })
})

t.test('a newer snapshot takes the place of what was ready and not asked for', async t => {
  const pair = await new Pair().open()
  pair.inspect = async () => pair.appliedAt(7)
  await pair.receiver.onChunk(leader, whole)
  const newer = headerOf(9, contentOf(9), 'b')
  t.same(await pair.receiver.onChunk(leader, ask(newer)), { kind: 'held', bytes: 0 })
  t.equal(pair.receiver.ready(header), null, 'its message comes too late')
})

t.test('a node that stops refuses, and waits for no inspection', async t => {
  const pair = await new Pair().open()
  const long = contentOf(7, 3 * CHUNK_BYTES_MAX)
  const longHeader = headerOf(7, long)
  pair.inspect = async () => {
    pair.receiver.stop()
    return pair.appliedAt(7)
  }
  t.match(await pair.receiver.onChunk(leader, { header: longHeader, offset: 0, bytes: long }), {
    kind: 'refused',
    why: 'the node stops',
  })
  t.equal(pair.receiver.ready(longHeader), null)
  t.match(await pair.receiver.onChunk(leader, whole), { kind: 'refused', why: 'the node stops' })
})
