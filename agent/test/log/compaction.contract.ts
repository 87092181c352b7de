import fc from 'fast-check'
import type { Test } from 'tap'
import { AssertionError } from '../../src/lib/assert.ts'
import type { LogStore } from '../../src/log/log-store.ts'
import { asLogIndex, asTerm } from '../../src/raft/types.ts'
import { actFor, actWish, afterAct, perform } from './log-acts.ts'
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
  type Model,
  readAll,
  reset,
  stateOf,
} from './log-model.ts'
import { type LogPlace, same, seedOf } from './log-store.contract.ts'

/** What every LogStore does when its front is dropped and snapshots are installed. */
export function compactionContract(t: Test, place: LogPlace, runs: number): void {
  t.test('it equals its model under compactions and installs, restarts between them', async t => {
    const step = fc.record({ each: actWish, reopen: fc.nat(3) })
    const property = fc.asyncProperty(fc.array(step, { maxLength: 40 }), async steps => {
      const make = await place()
      let store = make()
      let model = EMPTY
      await store.open(IDENTITY)
      for (const { each, reopen } of steps) {
        const act = actFor(model, each)
        await perform(store, act)
        model = afterAct(model, act)
        same(store.state(), stateOf(model))
        same(await readAll(store, stateOf(model)), model.entries)
        if (reopen > 0) continue
        await store.close()
        store = make()
        const state = await store.open(IDENTITY)
        same(state, stateOf(model))
        same(await readAll(store, state), model.entries)
      }
      await store.close()
    })
    await fc.assert(property, { seed: seedOf(t), numRuns: runs })
  })

  refusals(t, place)
  refills(t, place)
  reads(t, place)

  t.test('writes, compactions and marks asked for at once are carried out in order', async t => {
    const { store, make, model } = await written(place)
    const batch = batchOf({ entries: [entryAt(11, 2)], hardState: hardState(2, 'node0', 8) })
    const header = headerAt(40, 2)
    await Promise.all([
      store.compact(position(3, 1)),
      store.persist(batch),
      store.compact(position(8, 2)),
      store.mark(header),
      store.reset(header),
    ])
    await store.close()
    const expected = reset(compacted(after(model, batch), position(8, 2)), header)
    const again = make()
    same(await again.open(IDENTITY), stateOf(expected))
    await again.close()
    t.equal(expected.entries.length, 0)
  })
}

const position = (index: number, term: number) => ({ index: asLogIndex(index), term: asTerm(term) })

/** Entries 1–5 of term 1 and 6–10 of term 2; 8 are committed. */
async function written(
  place: LogPlace,
): Promise<{ store: LogStore; make: () => LogStore; model: Model }> {
  const make = await place()
  const store = make()
  await store.open(IDENTITY)
  const batch = batchOf({
    entries: [
      ...entriesBetween({ first: 1, last: 5 }, 1),
      ...entriesBetween({ first: 6, last: 10 }, 2),
    ],
    hardState: hardState(2, 'node0', 8),
  })
  await store.persist(batch)
  return { store, make, model: after(EMPTY, batch) }
}

function refusals(t: Test, place: LogPlace): void {
  const marked = headerAt(9, 2)
  const refused: Record<string, (store: LogStore) => Promise<void>> = {
    'C2 a compaction beyond the end': store => store.compact(position(11, 2)),
    'C2 a compaction at an entry of another term': store => store.compact(position(7, 1)),
    'C2 a truncation at the base': async store => {
      await store.compact(position(8, 2))
      await store.persist(batchOf({ truncateFrom: 8, hardState: hardState(2, 'node0', 8) }))
    },
    'a snapshot at commit, of another history': store => store.mark(headerAt(8, 1)),
    'a snapshot below commit, of another history': store => store.mark(headerAt(5, 2)),
    'a second snapshot, while one is installed': async store => {
      await store.mark(marked)
      await store.mark(headerAt(10, 2, 'another'))
    },
    'a compaction while a snapshot is installed': async store => {
      await store.mark(marked)
      await store.compact(position(3, 1))
    },
    'a reset without a mark': store => store.reset(marked),
    'a reset to another snapshot than the marked one': async store => {
      await store.mark(marked)
      await store.reset(headerAt(10, 2, 'another'))
    },
  }
  for (const [what, act] of Object.entries(refused)) {
    t.test(`${what}: refused, and that is final`, async t => {
      const { store, make, model } = await written(place)
      await t.rejects(act(store), AssertionError)
      await t.rejects(store.persist(batchOf({ entries: [entryAt(11, 2)] })), AssertionError)
      await store.close()
      const again = make()
      const { base, hardState, last } = await again.open(IDENTITY)
      t.strictSame(last, { index: 10, term: 2 }, 'no entry was dropped from the end')
      t.ok(base.index <= hardState.commit)
      t.strictSame(hardState, model.hardState)
      await again.close()
    })
  }

  t.test('the same mark again, and a base that is gone already, are nothing new', async t => {
    const { store, model } = await written(place)
    await store.compact(position(5, 1))
    await store.compact(position(5, 1))
    await store.compact(position(2, 1))
    await store.mark(marked)
    await store.mark(marked)
    await store.reset(marked)
    const expected = reset(compacted(model, position(5, 1)), marked)
    t.strictSame(await readAll(store, stateOf(expected)), [entryAt(10, 2)])
    await store.close()
  })
}

/** A machine that was lost takes a snapshot of what the log itself still has. */
function refills(t: Test, place: LogPlace): void {
  for (const index of [5, 7, 8]) {
    t.test(`a snapshot at ${index}, held and committed: what follows it stays`, async t => {
      const { store, make, model } = await written(place)
      await store.compact(position(5, 1))
      const header = headerAt(index, index > 5 ? 2 : 1)
      await store.mark(header)
      await store.reset(header)
      const expected = reset(compacted(model, position(5, 1)), header)
      same(store.state(), stateOf(expected))
      await store.close()
      const again = make()
      const state = await again.open(IDENTITY)
      same(state, stateOf(expected))
      t.strictSame(await readAll(again, state), entriesBetween({ first: index + 1, last: 10 }, 2))
      t.equal(state.hardState.commit, 8)
      await again.close()
    })
  }
}

function reads(t: Test, place: LogPlace): void {
  t.test('what was dropped cannot be read, and the log goes on', async t => {
    const { store } = await written(place)
    await store.compact(position(6, 2))
    for (const from of [1, 6]) {
      await t.rejects(store.read(asLogIndex(from), asLogIndex(8), 1e9), { name: 'LogCompacted' })
    }
    const read = await store.read(asLogIndex(7), asLogIndex(8), 1e9)
    t.strictSame(read, entriesBetween({ first: 7, last: 8 }, 2))
    await store.persist(batchOf({ entries: [entryAt(11, 2)], hardState: hardState(2, 'node0') }))
    t.strictSame(await store.read(asLogIndex(11), asLogIndex(11), 1), [entryAt(11, 2)])
    await store.close()
  })

  t.test('the bytes behind an entry: all of the log, less with every entry, none', async t => {
    const make = await place()
    const store = make()
    await store.open(IDENTITY)
    for (let first = 1; first < 100; first += 10) {
      const entries = entriesBetween({ first, last: first + 9 }, 1, 20_000)
      await store.persist(batchOf({ entries, hardState: hardState(1, null, first) }))
    }
    const whole = store.bytesAfter(asLogIndex(0))
    t.ok(whole >= 100 * 20_000 && whole < 110 * 20_000, `${whole}`)
    const half = store.bytesAfter(asLogIndex(50))
    t.ok(half >= 50 * 20_000 && half < 60 * 20_000, `${half}`)
    t.equal(store.bytesAfter(asLogIndex(100)), 0)
    await store.compact(position(50, 1))
    t.equal(store.bytesAfter(asLogIndex(0)), store.bytesAfter(asLogIndex(50)))
    await store.close()
  })

  t.test('a read that overlaps a compaction gives all that it was asked for', async t => {
    const make = await place()
    const store = make()
    await store.open(IDENTITY)
    for (let first = 1; first < 100; first += 10) {
      const entries = entriesBetween({ first, last: first + 9 }, 1, 2000)
      await store.persist(batchOf({ entries, hardState: hardState(1, null, first) }))
    }
    const read = store.read(asLogIndex(1), asLogIndex(100), 1e9)
    const compaction = store.compact(position(95, 1))
    same(await read, entriesBetween({ first: 1, last: 100 }, 1, 2000))
    await compaction
    await t.rejects(store.read(asLogIndex(95), asLogIndex(96), 1), { name: 'LogCompacted' })
    await store.close()
  })
}
