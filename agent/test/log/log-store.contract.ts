import fc from 'fast-check'
import type { Test } from 'tap'
import { AssertionError } from '../../src/lib/assert.ts'
import { crc32c } from '../../src/lib/crc32c.ts'
import type { LogStore } from '../../src/log/log-store.ts'
import { asLogIndex, asNodeId } from '../../src/raft/types.ts'
import { compactionContract } from './compaction.contract.ts'
import {
  after,
  batchFor,
  batchOf,
  EMPTY,
  entriesBetween,
  entryAt,
  hardState,
  IDENTITY,
  readAll,
  stateOf,
  wish,
} from './log-model.ts'

/** Makes a new place for a log; each call of what it returns gives a store there, as a restart would. */
export type LogPlace = () => Promise<() => LogStore>

/** What every LogStore does, however it stores. */
export function logStoreContract(t: Test, place: LogPlace, runs: number): void {
  const opened = async () => {
    const make = await place()
    const store = make()
    await store.open(IDENTITY)
    return { make, store }
  }

  t.test('a new log is empty: no entry, no term, no vote', async t => {
    const store = (await place())()
    t.strictSame(await store.open(IDENTITY), stateOf(EMPTY))
    await store.close()
  })

  t.test('it equals a plain array under any legal batches, restarts between them', async t => {
    const seed = seedOf(t)
    const step = fc.record({ wish, reopen: fc.nat(4), from: fc.nat(), upTo: fc.nat() })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async steps => {
        const make = await place()
        let store = make()
        let model = EMPTY
        await store.open(IDENTITY)
        for (const { wish, reopen, from, upTo } of steps) {
          const batch = batchFor(model, wish)
          await store.persist(batch)
          model = after(model, batch)
          const { length } = model.entries
          if (length > 0) {
            const range = [1 + (from % length), 1 + (upTo % length)].sort((a, b) => a - b)
            const [low = 1, high = 1] = range
            const read = await store.read(asLogIndex(low), asLogIndex(high), 1e9)
            same(read, model.entries.slice(low - 1, high))
          }
          if (reopen > 0) continue
          await store.close()
          store = make()
          const state = await store.open(IDENTITY)
          same(state, stateOf(model))
          same(await readAll(store, state), model.entries)
        }
        await store.close()
      }),
      { seed, numRuns: runs },
    )
  })

  t.test('read gives at least one entry, then as many as fit the bytes asked for', async t => {
    const { store } = await opened()
    await store.persist(batchOf({ entries: entriesBetween({ first: 1, last: 10 }, 1, 100) }))
    const count = async (bytesMax: number) =>
      (await store.read(asLogIndex(3), asLogIndex(8), bytesMax)).length
    t.equal(await count(0), 1)
    t.equal(await count(199), 1)
    t.equal(await count(200), 2)
    t.equal(await count(10_000), 6)
    await store.close()
  })

  t.test('what is not in the log cannot be read', async t => {
    const { store } = await opened()
    await store.persist(batchOf({ entries: [entryAt(1, 1)] }))
    for (const [from, upTo] of [
      [0, 1],
      [1, 2],
      [2, 2],
      [2, 1],
    ] as const) {
      await t.rejects(store.read(asLogIndex(from), asLogIndex(upTo), 1), AssertionError)
    }
    await store.close()
  })

  t.test('a read that overlaps a truncation answers from before it, or after it', async t => {
    const { store } = await opened()
    const before = entriesBetween({ first: 1, last: 200 }, 1, 1000)
    const replaced = entriesBetween({ first: 101, last: 200 }, 2, 1000)
    await store.persist(batchOf({ entries: before }))
    const persisted = store.persist(batchOf({ truncateFrom: 101, entries: replaced }))
    const read = await store.read(asLogIndex(1), asLogIndex(200), 1e9)
    await persisted
    const terms = new Set(read.slice(100).map(({ term }) => term))
    t.equal(terms.size, 1)
    t.strictSame(read.slice(0, 100), before.slice(0, 100))
    t.strictSame(await store.read(asLogIndex(101), asLogIndex(200), 1e9), replaced)
    await store.close()
  })

  const written = hardState(2, 'node0', 2)
  const over = (parts: Parameters<typeof batchOf>[0]) => batchOf({ hardState: written, ...parts })
  const refused = {
    'C2 a truncation at the floor': over({ truncateFrom: 3, floor: 3 }),
    'C2 a truncation below the floor': over({ truncateFrom: 3, floor: 4 }),
    'C2 a truncation at the durable commit': over({ truncateFrom: 2 }),
    'C2 a truncation behind the end': over({ truncateFrom: 7 }),
    'C2 entries that leave a hole behind the log': over({ entries: [entryAt(7, 2)] }),
    'C2 entries that overlap the log': over({ entries: [entryAt(5, 2)] }),
    'entries with a hole between them': over({ entries: [entryAt(6, 2), entryAt(8, 2)] }),
    'an entry of an older term than the last': over({ entries: [entryAt(6, 1)] }),
    'an entry of a future term': over({ entries: [entryAt(6, 3)] }),
    'a term that decreases': over({ hardState: hardState(1, 'node0', 2) }),
    'a second vote in one term (§5.2)': over({ hardState: hardState(2, 'node1', 2) }),
    'a vote taken back': over({ hardState: hardState(2, null, 2) }),
    'a commit beyond the log': over({ hardState: hardState(2, 'node0', 6) }),
  }
  for (const [what, batch] of Object.entries(refused)) {
    t.test(`${what}: refused, nothing of it happens, and that is final`, async t => {
      const { make, store } = await opened()
      const entries = [
        ...entriesBetween({ first: 1, last: 3 }, 1),
        ...entriesBetween({ first: 4, last: 5 }, 2),
      ]
      const good = over({ entries })
      await store.persist(good)
      await t.rejects(store.persist(batch), AssertionError)
      await t.rejects(store.persist(over({ entries: [entryAt(6, 2)] })), AssertionError)
      t.strictSame(await store.read(asLogIndex(1), asLogIndex(5), 1e9), entries)
      await store.close()
      const again = make()
      t.strictSame(await again.open(IDENTITY), stateOf(after(EMPTY, good)))
      await again.close()
    })
  }

  compactionContract(t, place, runs)

  t.test('C9 a log of another cluster, node or incarnation is refused', async t => {
    const { make, store } = await opened()
    await store.persist(batchOf({ entries: [entryAt(1, 1)] }))
    await store.close()
    for (const foreign of [
      { ...IDENTITY, clusterId: 'other' },
      { ...IDENTITY, nodeId: asNodeId('node9') },
      { ...IDENTITY, incarnation: 'second' },
    ]) {
      await t.rejects(make().open(foreign), { name: 'LogRefusal', reason: 'identity' })
    }
    const store2 = make()
    t.equal((await store2.open(IDENTITY)).last.index, 1)
    await store2.close()
  })

  t.test('a second owner is refused while the first has it open', async t => {
    const { make, store } = await opened()
    await t.rejects(make().open(IDENTITY), { reason: 'owner', message: /in use/ })
    await store.close()
    const next = make()
    await next.open(IDENTITY)
    await next.close()
  })
}

/** Draws a seed, or takes it from SEED to repeat a run; prints it. */
export function seedOf(t: Test): number {
  const { SEED } = process.env
  const seed = SEED === undefined ? Date.now() & 0x7fff_ffff : Number(SEED)
  t.comment(`SEED=${seed}`)
  return seed
}

/** Fails a property at once: inside one, tap would count thousands of assertions. */
export function same(found: unknown, wanted: unknown): void {
  const show = (value: unknown) =>
    JSON.stringify(value, (_, part) =>
      part instanceof Uint8Array ? `${part.length} bytes, CRC ${crc32c(part)}` : part,
    )
  if (show(found) !== show(wanted)) throw new Error(`${show(found)} is not ${show(wanted)}`)
}
