import { equal, notEqual, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { takeBatch } from '../../../njs/src/batch.ts'
import { type Dict, exact, textOf } from '../../../njs/src/dict.ts'
import { MapDict } from '../../../njs/test/map-dict.ts'
import { cutDelta, split } from '../../src/gateway/edge-batch.ts'
import type { Answer } from '../../src/gateway/edge-client.ts'
import { EdgeFiller } from '../../src/gateway/edge-filler.ts'
import type { Open } from '../../src/gateway/edge-open.ts'
import type { Op } from '../../src/gateway/edge-rows.ts'
import type { EdgeSource, EntryChange } from '../../src/gateway/edge-source.ts'
import type { KvRow, ListedRow } from '../../src/machine/kv/row.ts'

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g']

function rowWith(text: string): KvRow {
  const indexes = { createIndex: 1, modifyIndex: 1, lockIndex: 0 }
  return { ...indexes, value: Buffer.from(text), flags: 0n, session: '', contentType: '' }
}

/** To whom keys may be shown, as of an entry: every other one changes it. */
function openAt(index: number): Open {
  const version = index >> 1
  return version % 3 === 0 ? null : [['a', version % 3 === 1]]
}

/** A store that remembers all its states. */
class Store implements EdgeSource {
  readonly states: ReadonlyMap<string, string>[] = [new Map()]
  kept: EntryChange[] = []
  #since = 0
  since = () => this.#since
  last = () => this.states.length - 1
  stalenessMs = () => 0
  trusted = true
  serves = () => this.trusted
  open = () => ({ version: this.last() >> 1, open: openAt(this.last()) })
  listen = () => () => {}

  read(after: number): readonly EntryChange[] | null {
    return after < this.#since ? null : this.kept.filter(entry => entry.index > after)
  }

  /** One key a page: a copy takes long enough for everything to happen in between. */
  async page(after: Uint8Array | null): Promise<readonly ListedRow[]> {
    const past = after === null ? '' : Buffer.from(after).toString()
    const next = [...this.#now()].sort().find(([key]) => key > past)
    return next === undefined ? [] : [{ key: Buffer.from(next[0]), ...rowWith(next[1]) }]
  }

  write(keys: readonly string[], deletes: boolean): void {
    const state = new Map(this.#now())
    const index = this.states.length
    for (const key of keys) {
      if (deletes) state.delete(key)
      else state.set(key, `${key}${index}`)
    }
    this.states.push(state)
    const changes = keys.map(key => {
      const row = deletes ? null : rowWith(`${key}${index}`)
      return { key: Buffer.from(key), value: row?.value ?? null, row }
    })
    if (changes.length > 0) this.kept.push({ index, changes })
  }

  forget(): void {
    this.kept = []
    this.#since = this.last()
  }

  #now(): ReadonlyMap<string, string> {
    return this.states.at(-1) ?? new Map()
  }
}

type Mishap =
  | 'none'
  | 'lost'
  | 'answer lost'
  | 'twice'
  | 'emptied'
  | 'half'
  | 'forgotten'
  | 'written'

/** What a reader of nginx's memory is shown is one of the states that the store had, and the one that it is said to be. */
function checkReaders(dict: Dict, store: Store): void {
  for (const key of KEYS) {
    const need = { maxAgeMs: Number.MAX_SAFE_INTEGER, minIndex: 0, now: Date.now() + 60_000 }
    const found = exact(dict, key, need)
    if (found === null) continue
    const wanted = store.states[found.index]?.get(key)
    const text = found.row === undefined ? undefined : textOf(found.row)
    equal(text, wanted, `${key} at ${found.index}`)
    const open = JSON.stringify(found.open)
    ok(open === '[]' || open === JSON.stringify(openAt(found.index)), `${key}: ${open}`)
  }
}

/** One run: each batch meets the next mishap; then all goes well until nginx has everything. */
async function run(mishaps: readonly Mishap[], writes: readonly (readonly string[])[]) {
  const dict = new MapDict()
  const store = new Store()
  const left = [...mishaps]
  const more = [...writes]
  const take = (body: string): Answer => {
    const verdict = takeBatch(dict, JSON.parse(body), () => 0)
    return { kind: 'answer', status: verdict.status, body: JSON.stringify(verdict) }
  }
  const late: string[] = []
  const post = async (body: string): Promise<Answer> => {
    const next = more.shift()
    if (next !== undefined) store.write(next, more.length % 3 === 0)
    const mishap = left.shift() ?? 'none'
    // what came late of an earlier try
    if (mishap === 'twice') for (const old of late) take(old)
    late.push(body)
    const answer = suffer(mishap, body)
    checkReaders(dict, store)
    return answer
  }
  const suffer = (mishap: Mishap, body: string): Answer => {
    switch (mishap) {
      case 'lost':
        return { kind: 'timeout' }
      case 'answer lost':
        take(body)
        return { kind: 'timeout' }
      case 'emptied':
        dict.clear()
        return take(body)
      case 'half': {
        let calls = 0
        takeBatch(dict, JSON.parse(body), () => (calls++ > 1 ? 10_000 : 0))
        return { kind: 'unreachable', why: 'the worker died' }
      }
      case 'forgotten':
        store.forget()
        return take(body)
      case 'written':
        store.write(['a', 'g'], false)
        return take(body)
      default:
        return take(body)
    }
  }
  const filler = new EdgeFiller({
    sender: { epoch: 'e', node: 'node0', only: [] },
    source: store,
    post,
    clock: {
      now: () => 0,
      wallMs: () => 1_000,
      every: () => () => {},
      after: (_, callback) => {
        const timer = setImmediate(callback)
        return () => clearImmediate(timer)
      },
      soon: callback => void setImmediate(callback),
    },
    logger: { info() {}, warn() {}, error() {} },
  })
  filler.start()
  for (let turns = 0; turns < 10_000; turns++) {
    await new Promise(setImmediate)
    const done = left.length === 0 && more.length === 0
    if (done && filler.status().index === store.last()) break
  }
  await filler.stop()
  equal(filler.status().index, store.last(), 'in the end nginx has everything')
  checkReaders(dict, store)
  const found = exact(dict, 'a', { maxAgeMs: 1e15, minIndex: store.last(), now: Date.now() })
  notEqual(found, null, 'and serves it')
  await filler.forget()
  for (const key of KEYS) {
    const need = { maxAgeMs: 1e15, minIndex: 0, now: Date.now() }
    equal(exact(dict, key, need), null, 'until it is told to forget')
  }
}

t.test('whatever is lost, late or emptied, readers see a state that the store had', async t => {
  const grave = fc.constantFrom<Mishap>('lost', 'emptied', 'forgotten')
  const light = fc.constantFrom<Mishap>('answer lost', 'twice', 'half', 'written')
  const mishap = fc.oneof(
    { weight: 12, arbitrary: fc.constant<Mishap>('none') },
    { weight: 6, arbitrary: light },
    { weight: 1, arbitrary: grave },
  )
  const write = fc.uniqueArray(fc.constantFrom(...KEYS), { maxLength: 4 })
  const mishaps = fc.array(mishap, { maxLength: 80, size: 'max' })
  const writes = fc.array(write, { maxLength: 80, size: 'max' })
  await fc.assert(fc.asyncProperty(mishaps, writes, run), { numRuns: 150 })
  t.pass('in 150 runs')
})

t.test('a batch ends with an entry, within the limits where it can', async t => {
  const entry = (index: number, keys: number): EntryChange => ({
    index,
    changes: Array.from({ length: keys }, (_, at) => ({
      key: Buffer.from(`k${index}-${at}`),
      value: Buffer.from('v'),
      row: null,
    })),
  })
  const sizes = (cut: { readonly parts: readonly (readonly Op[])[] }) =>
    cut.parts.map(part => part.length)
  const entries = [entry(3, 600), entry(4, 600), entry(5, 10)]
  const first = cutDelta(entries, [], { last: 9, atLeast: 0 })
  t.equal(first.to, 4, 'not all of them')
  t.strictSame(sizes(first), [1000, 200])
  t.equal(cutDelta(entries.slice(2), [], { last: 9, atLeast: 0 }).to, 9)
  t.equal(cutDelta(entries, [], { last: 9, atLeast: 5 }).to, 9, 'as far as was begun')
  t.strictSame(cutDelta([], [], { last: 9, atLeast: 0 }), { to: 9, parts: [[]] }, 'a heartbeat')
  const kept = cutDelta(entries, ['k5-'], { last: 9, atLeast: 0 })
  t.strictSame([kept.to, ...sizes(kept)], [9, 10], 'of the prefixes only')
})

t.test('batches are small in bytes too', async t => {
  const ops = Array.from({ length: 10 }, (_, at): Op => [`k${at}`, 'x'.repeat(100_000)])
  t.strictSame(
    split(ops).map(part => part.length),
    [2, 2, 2, 2, 2],
  )
  t.strictSame(split([['long', 'x'.repeat(600_000)]]).length, 1, 'a value is never cut')
})

/** A filler whose time passes at once, and the pauses that it took, ms. */
function fillerWith(post: (body: string) => Promise<Answer>, source = new Store()) {
  const pauses: number[] = []
  const warnings: unknown[] = []
  const filler = new EdgeFiller({
    sender: { epoch: 'e', node: 'node0', only: ['a'] },
    source,
    post,
    clock: {
      now: () => 0,
      wallMs: () => 1_000,
      every: () => () => {},
      after: (ms, callback) => {
        pauses.push(ms)
        const timer = setImmediate(callback)
        return () => clearImmediate(timer)
      },
      soon: callback => void setImmediate(callback),
    },
    logger: { info() {}, warn: fields => void warnings.push(fields), error() {} },
  })
  filler.start()
  return { filler, pauses, warnings }
}

t.test('an nginx with scripts of another version is not asked without a pause', async t => {
  const refuse = async (): Promise<Answer> => {
    return { kind: 'answer', status: 409, body: '{"status":409,"watermark":null}' }
  }
  const { filler, pauses, warnings } = fillerWith(refuse)
  while (pauses.length < 20) await new Promise(setImmediate)
  await filler.stop()
  t.match(filler.status(), { state: 'unreachable', index: null, copies: 0 })
  t.ok(
    pauses.slice(3).every(ms => ms >= 250),
    `${pauses}`,
  )
  t.equal(warnings.length, 1, 'and it is said once')
})

t.test('how much room nginx’s memory has is known, and said where it is little', async t => {
  const dict = new MapDict()
  let free = 50
  const take = async (body: string): Promise<Answer> => {
    const verdict = takeBatch(dict, JSON.parse(body), () => 0)
    const told = { ...verdict, free, capacity: 100 }
    return { kind: 'answer', status: verdict.status, body: JSON.stringify(told) }
  }
  const { filler, pauses, warnings } = fillerWith(take)
  const turn = async () => {
    const before = pauses.length
    while (pauses.length < before + 4) await new Promise(setImmediate)
  }
  await turn()
  t.match(filler.status(), { state: 'following', free: 50, capacity: 100, only: ['a'] })
  t.strictSame(warnings, [])
  free = 19
  await turn()
  t.strictSame(warnings, [{ free: 19, capacity: 100 }], 'once')
  free = 20
  await turn()
  free = 5
  await turn()
  t.equal(warnings.length, 2, 'and again')
  await filler.stop()
})

t.test('a node that is not to be relied on has its nginx emptied, once', async t => {
  const dict = new MapDict()
  const store = new Store()
  store.write(['a'], false)
  let batches = 0
  const take = async (body: string): Promise<Answer> => {
    batches++
    const verdict = takeBatch(dict, JSON.parse(body), () => 0)
    return { kind: 'answer', status: verdict.status, body: JSON.stringify(verdict) }
  }
  const { filler, pauses } = fillerWith(take, store)
  const turns = async (count: number) => {
    const before = pauses.length
    while (pauses.length < before + count) await new Promise(setImmediate)
  }
  const shown = () => exact(dict, 'a', { maxAgeMs: 1e15, minIndex: 0, now: Date.now() })
  await turns(6)
  t.match(shown(), { index: 1 })
  store.trusted = false
  store.page = () => Promise.reject(new Error('it does not answer'))
  await turns(4)
  t.equal(shown(), null)
  t.equal(dict.has('ka'), false)
  t.match(filler.status(), { state: 'withheld', index: null })
  const before = batches
  await turns(6)
  t.equal(batches, before, 'nothing more is sent')
  store.trusted = true
  store.page = Store.prototype.page
  await turns(10)
  t.match(shown(), { index: 1 })
  await filler.stop()
})

t.test('a node that comes to be not relied on during a copy ends it', async t => {
  const dict = new MapDict()
  const store = new Store()
  store.page = () => {
    store.trusted = false
    return Promise.reject(new Error('it does not answer'))
  }
  const take = async (body: string): Promise<Answer> => {
    const verdict = takeBatch(dict, JSON.parse(body), () => 0)
    return { kind: 'answer', status: verdict.status, body: JSON.stringify(verdict) }
  }
  const { filler, pauses } = fillerWith(take, store)
  while (pauses.length < 8) await new Promise(setImmediate)
  t.equal(filler.status().state, 'withheld')
  await filler.stop()
})
