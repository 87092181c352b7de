import t from 'tap'
import { SegmentLogStore } from '../../src/log/segment-log-store.ts'
import { asLogIndex, asTerm } from '../../src/raft/types.ts'
import { actAll, openAcknowledged } from './acknowledged.ts'
import { type Act, actHistory, afterAct, perform } from './log-acts.ts'
import {
  after,
  batchOf,
  compacted,
  EMPTY,
  entriesBetween,
  entryAt,
  hardState,
  headerAt,
  IDENTITY,
  lastOf,
  type Model,
  readAll,
  reset,
  stateOf,
} from './log-model.ts'
import { same, seedOf } from './log-store.contract.ts'
import { type Fault, SimulatedDisk } from './simulated-disk.ts'

const DIRECTORY = '/data/log'
const storeOn = (disk: SimulatedDisk, segmentBytes = 3000) =>
  new SegmentLogStore({ directory: DIRECTORY, disk, segmentBytes })
const position = (index: number, term: number) => ({ index: asLogIndex(index), term: asTerm(term) })
const segments = (disk: SimulatedDisk) =>
  disk.paths().filter(path => path.endsWith('.log') && path.startsWith(DIRECTORY))

const SHARES: readonly Fault['keep'][] = [
  () => false,
  (offset, length) => offset < length / 2,
  () => true,
]

t.test(
  'C1 C2 C7 a crash at any write of batches, compactions, marks and resets loses nothing acknowledged',
  async t => {
    const { acts, models } = actHistory(seedOf(t), 24)
    const whole = new SimulatedDisk()
    await actAll(storeOn(whole), acts)
    for (let at = 1; at <= whole.operations; at++) {
      for (const keep of SHARES) {
        const disk = new SimulatedDisk()
        disk.plan = ({ number }) => (number === at ? { code: 'CRASH', keep } : null)
        const acknowledged = await actAll(storeOn(disk), acts)
        for (const cause of ['process died', 'power lost', 'power lost, names kept'] as const) {
          await isPrefix(disk.restarted(cause), models, acknowledged)
        }
      }
    }
    t.comment(`${whole.operations} writes, ${acts.map(({ kind }) => kind).join(' ')}`)
  },
)

t.test('C6 a failed write of any of them is final', async t => {
  const { acts, models } = actHistory(seedOf(t), 16)
  const whole = new SimulatedDisk()
  await actAll(storeOn(whole), acts)
  for (let at = 1; at <= whole.operations; at++) {
    const disk = new SimulatedDisk()
    disk.plan = ({ number }) =>
      number === at ? { code: 'EIO', keep: (offset, length) => offset < length / 3 } : null
    const acknowledged = await actAll(storeOn(disk), acts)
    if (disk.operations !== at) throw new Error(`operation ${at} was followed by others`)
    await isPrefix(disk.restarted('power lost'), models, acknowledged)
  }
})

/** A log of many segments: 60 entries, 50 of them committed. */
async function long(disk: SimulatedDisk): Promise<{ store: SegmentLogStore; model: Model }> {
  const store = storeOn(disk)
  await store.open(IDENTITY)
  let model = EMPTY
  for (let first = 1; first <= 60; first += 2) {
    const entries = entriesBetween({ first, last: first + 1 }, first < 30 ? 1 : 2, 400)
    const term = entries[1]?.term ?? 1
    const batch = batchOf({ entries, hardState: hardState(term, null, Math.min(50, first)) })
    await store.persist(batch)
    model = after(model, batch)
  }
  return { store, model }
}

t.test('C2 the base is durable before any file goes, and whole files go, newest first', async t => {
  const disk = new SimulatedDisk()
  const { store } = await long(disk)
  const before = segments(disk)
  const seen: string[] = []
  disk.plan = ({ kind, path }) => {
    seen.push(kind === 'remove' ? `remove ${path}` : kind)
    return null
  }
  await store.compact(position(40, 2))
  const kept = segments(disk)
  const removed = before.filter(path => !kept.includes(path))
  t.ok(removed.length > 3, `${removed.length} files`)
  const first = seen.findIndex(kind => kind.startsWith('remove'))
  t.equal(seen[first - 1], 'write', 'the new base')
  t.strictSame(
    seen.slice(first),
    removed.toReversed().flatMap(path => [`remove ${path}`, 'sync-directory']),
  )
  t.strictSame(before.slice(0, removed.length), removed)
  await store.close()
})

t.test(
  'C2 a truncation that reached into an older segment keeps the files that it needs',
  async t => {
    const disk = new SimulatedDisk()
    const { store, model } = await long(disk)
    const batch = batchOf({
      truncateFrom: 51,
      entries: entriesBetween({ first: 51, last: 90 }, 3, 400),
      hardState: hardState(3, null, 90),
    })
    await store.persist(batch)
    const lengths: number[] = []
    for (const index of [55, 56, 90]) {
      await store.compact(position(index, 3))
      const expected = compacted(after(model, batch), position(index, 3))
      const found = disk.restarted('power lost')
      const again = storeOn(found)
      same(await again.open(IDENTITY), stateOf(expected))
      lengths.push(segments(found).length)
      same(await readAll(again, stateOf(expected)), expected.entries)
      await again.close()
    }
    const [atFirst = 0, , atLast = 0] = lengths
    t.ok(atFirst > atLast && atLast === 1, `${lengths} files`)
    await store.close()
  },
)

t.test('C5 a lost front is no compaction: it is refused', async t => {
  const disk = new SimulatedDisk()
  const { store } = await long(disk)
  await store.compact(position(20, 1))
  await store.close()
  const [first = '', second = '', third = ''] = segments(disk)
  for (const [lost, message] of [
    [[first], /segment \d+ is missing/],
    [[first, second], /segment \d+ is missing/],
    [[second], /segment \d+ is missing/],
    [[first, second, third], /segment \d+ is missing/],
  ] as const) {
    const damaged = disk.restarted('power lost')
    for (const path of lost) damaged.lose(path)
    await t.rejects(storeOn(damaged).open(IDENTITY), { reason: 'lost', message })
  }
})

t.test(
  'C5 a flipped bit of a base, a marker or a reset is refused or cuts the last frame',
  async t => {
    const disk = new SimulatedDisk()
    const { store, model } = await long(disk)
    const header = headerAt(70, 2)
    await store.compact(position(40, 2))
    await store.mark(header)
    await store.reset(header)
    await store.persist(batchOf({ entries: [entryAt(71, 2)], hardState: hardState(2, null, 70) }))
    await store.close()
    const [path = ''] = segments(disk).slice(-1)
    const bytes = disk.bytes(path)
    const end = bytes.findLastIndex(byte => byte !== 0)
    let refused = 0
    for (let at = 0; at <= end; at++) {
      const damaged = disk.restarted('power lost')
      const flipped = bytes.slice()
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8))
      damaged.replace(path, flipped)
      const again = storeOn(damaged)
      try {
        const state = await again.open(IDENTITY)
        same({ ...state, last: state.last.index }, { ...stateOf(final(model, header)), last: 71 })
        await again.close()
      } catch (error) {
        if (!(error instanceof Error) || error.name !== 'LogRefusal') throw error
        refused++
      }
    }
    t.ok(refused > 500, `${refused} of ${end} refused`)
  },
)

function final(model: Model, header: Parameters<typeof reset>[1]): Model {
  const batch = batchOf({ entries: [entryAt(71, 2)], hardState: hardState(2, null, 70) })
  return after(reset(model, header), batch)
}

t.test('a reset over a longer, conflicting log drops all of it, and its files', async t => {
  const disk = new SimulatedDisk()
  const { store, model } = await long(disk)
  const header = headerAt(55, 3)
  const batch = batchOf({ hardState: hardState(3, 'node1', 50) })
  await store.persist(batch)
  await store.mark(header)
  await store.reset(header)
  t.equal(segments(disk).length, 1)
  const expected = reset(after(model, batch), header)
  t.strictSame(lastOf(expected), { index: 55, term: 3 })
  await isPrefix(disk.restarted('power lost'), [expected], 0)
  await store.close()
})

t.test('a reset to an entry of the log keeps what follows it', async t => {
  const disk = new SimulatedDisk()
  const { store, model } = await long(disk)
  const header = headerAt(55, 2)
  await store.mark(header)
  await isPrefix(disk.restarted('power lost'), [{ ...model, marker: header }], 0)
  await store.reset(header)
  const expected = reset(model, header)
  t.strictSame(lastOf(expected), { index: 60, term: 2 })
  await isPrefix(disk.restarted('power lost'), [expected], 0)
  await store.close()
})

/** The log is what the acknowledged acts make, or one more; and it can be written on. */
async function isPrefix(
  disk: SimulatedDisk,
  models: readonly Model[],
  acknowledged: number,
): Promise<void> {
  const store = storeOn(disk)
  const model = await openAcknowledged(store, models, acknowledged)
  const term = model.hardState.term + 1
  const batch = batchOf({
    entries: [entryAt(lastOf(model).index + 1, term, 700)],
    hardState: hardState(term, 'node0', model.hardState.commit),
  })
  const act: Act = { kind: 'persist', batch }
  await perform(store, act)
  const next = afterAct(model, act)
  const again = storeOn(disk.restarted('power lost'))
  same(await again.open(IDENTITY), stateOf(next))
  same(await readAll(again, stateOf(next)), next.entries)
  await again.close()
  await store.close()
}
