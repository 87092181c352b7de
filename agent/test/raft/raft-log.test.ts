import fc from 'fast-check'
import t from 'tap'
import { RaftLog } from '../../src/raft/log.ts'
import {
  asLogIndex,
  asTerm,
  type Entry,
  type LogIndex,
  type LogPosition,
  ORIGIN,
} from '../../src/raft/types.ts'

const { SEED } = process.env
const seed = Number(SEED ?? Date.now() % 2 ** 31)
t.comment(`SEED=${seed}`)

type Place = 'truncate' | 'compact' | 'confirm'

type Step =
  | { readonly kind: 'append'; readonly later: number; readonly configures: boolean }
  | { readonly kind: Place; readonly at: number }
  | { readonly kind: 'reset'; readonly index: number; readonly later: number }
  | { readonly kind: 'trim' }
  | { readonly kind: 'copy' }

const share = fc.double({ min: 0, max: 1, noNaN: true })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      later: fc.constantFrom(0, 0, 0, 1, 2),
      configures: fc.boolean(),
    }),
  },
  fc.record({ kind: fc.constantFrom<Place>('truncate', 'compact', 'confirm'), at: share }),
  fc.record({ kind: fc.constant('reset' as const), index: fc.nat(40), later: fc.nat(2) }),
  fc.constantFrom<Step>({ kind: 'trim' }, { kind: 'copy' }),
)

/** The same log as a plain array, whole: what was compacted away is only not asked for. */
class Model {
  base: LogPosition = ORIGIN
  entries: Entry[] = []
  durable = 0

  get last(): LogPosition {
    const { index, term } = this.entries.at(-1) ?? this.base
    return { index, term }
  }

  termAt(index: number): number | null {
    if (index === this.base.index) return this.base.term
    return this.entries.find(entry => entry.index === index)?.term ?? null
  }

  lastAtMost(bound: LogPosition): LogPosition {
    const known = [...(this.base.index > 0 ? [this.base] : []), ...this.entries]
    const found = known.findLast(({ index, term }) => index <= bound.index && term <= bound.term)
    return { index: found?.index ?? ORIGIN.index, term: found?.term ?? ORIGIN.term }
  }

  configures(after: number, upTo: number): boolean {
    return this.entries.some(
      ({ kind, index }) => kind === 'configuration' && index > after && index <= upTo,
    )
  }
}

/** The place that a share of the living entries comes to; null: there is none. */
function placeOf(model: Model, at: number): LogPosition | null {
  const entry = model.entries[Math.floor(at * (model.entries.length - 1))]
  return entry === undefined ? null : { index: entry.index, term: entry.term }
}

function take(log: RaftLog, model: Model, step: Step): RaftLog {
  if (step.kind === 'copy') return RaftLog.from(log.image())
  if (step.kind === 'trim') {
    log.trim(model.base.index, model.base.index, 0)
    return log
  }
  if (step.kind === 'append') {
    const entry: Entry = {
      index: asLogIndex(model.last.index + 1),
      term: asTerm(Math.max(1, model.last.term + step.later)),
      kind: step.configures ? 'configuration' : 'command',
      payload: new Uint8Array(3),
    }
    log.append([entry])
    model.entries.push(entry)
    return log
  }
  if (step.kind === 'reset') {
    const index = asLogIndex(Math.max(step.index, model.base.index + 1))
    reset(log, model, { index, term: asTerm(model.base.term + 1 + step.later) })
    return log
  }
  const place = placeOf(model, step.at)
  if (place !== null) touch(log, model, step.kind, place)
  return log
}

function reset(log: RaftLog, model: Model, base: LogPosition): void {
  log.reset(base)
  const kept = model.termAt(base.index) === base.term
  model.entries = kept ? model.entries.filter(({ index }) => index > base.index) : []
  model.base = base
  model.durable = kept ? Math.max(model.durable, 0) : base.index
}

function touch(log: RaftLog, model: Model, kind: Place, place: LogPosition): void {
  if (kind === 'truncate') {
    log.truncateFrom(place.index)
    model.entries = model.entries.filter(({ index }) => index < place.index)
    model.durable = Math.min(model.durable, place.index - 1)
  } else if (kind === 'compact') {
    log.compact(place)
    model.base = place
    model.entries = model.entries.filter(({ index }) => index > place.index)
  } else {
    log.confirm(place)
    model.durable = Math.max(model.durable, place.index)
  }
}

const same = (one: LogPosition, other: LogPosition): boolean =>
  one.index === other.index && one.term === other.term

function agrees(log: RaftLog, model: Model): boolean {
  const indexes = Array.from({ length: model.last.index + 3 }, (_, index) => asLogIndex(index))
  return (
    same(log.last, model.last) &&
    same(log.base, model.base) &&
    log.durable === model.durable &&
    indexes.every(index => log.termAt(index) === model.termAt(index)) &&
    indexes.every(index => findsAlike(log, model, index)) &&
    indexes.filter(index => index >= model.base.index).every(index => readsAlike(log, model, index))
  )
}

function findsAlike(log: RaftLog, model: Model, index: LogIndex): boolean {
  const terms = Array.from({ length: model.last.term + 2 }, (_, term) => asTerm(term))
  return terms.every(term => {
    const bound = { index, term }
    return same(log.lastAtMost(bound), model.lastAtMost(bound))
  })
}

/** What it knows of the entries behind `index`. */
function readsAlike(log: RaftLog, model: Model, index: LogIndex): boolean {
  const upTo = model.last.index
  if (log.configures(index, upTo) !== model.configures(index, upTo)) return false
  const slice = log.slice(asLogIndex(index + 1), upTo, Number.POSITIVE_INFINITY)
  const expected = model.entries.filter(entry => entry.index > index)
  if (slice === null) return true
  return slice.length === expected.length && expected.every((entry, at) => entry === slice[at])
}

t.test('a log is what an array would be, through truncation, compaction and reset', async () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      let log = new RaftLog(ORIGIN, [], ORIGIN)
      const model = new Model()
      return steps.every(each => {
        log = take(log, model, each)
        return agrees(log, model)
      })
    }),
    { seed, numRuns: 300 },
  )
})

t.test('a log that is opened knows the terms that its store still tells', async t => {
  const at = (index: number, term: number): LogPosition => ({
    index: asLogIndex(index),
    term: asTerm(term),
  })
  const border = (first: number, term: number) => ({
    first: asLogIndex(first),
    term: asTerm(term),
  })
  // Whether a store keeps the border that covers the base, cuts it, or drops it, is all the same.
  for (const borders of [
    [border(1, 1), border(4, 2), border(8, 5)],
    [border(4, 2), border(8, 5)],
    [border(7, 2), border(8, 5)],
    [border(8, 5)],
  ]) {
    const log = new RaftLog(at(9, 5), borders, at(6, 2))
    const terms = Array.from({ length: 11 }, (_, index) => log.termAt(asLogIndex(index)))
    t.strictSame(terms, [null, null, null, null, null, null, 2, 2, 5, 5, null])
    t.strictSame(log.lastAtMost(at(9, 4)), at(7, 2))
    t.strictSame(log.lastAtMost(at(9, 1)), ORIGIN)
  }
})
