import t from 'tap'
import { Chance } from './chance.ts'
import { judge } from './linearizability.ts'
import { type Action, type Answer, Model, type Operation, type State } from './model.ts'

type Result = Answer | null
type Step = readonly [called: number, returned: number | null, action: Action, answer: Result]

const history = (...steps: readonly Step[]): Operation[] =>
  steps.map(([called, returned, action, answer]) => ({ called, returned, action, answer }))

const get: Action = { kind: 'get', keys: ['x'] }
const remove: Action = { kind: 'delete', key: 'x' }
const put = (value: string): Action => ({ kind: 'put', pairs: [['x', value]] })
const add = (amount: number): Action => ({ kind: 'add', key: 'x', amount })
const cas = (expected: string | null, value: string): Action => ({
  kind: 'compare-and-set',
  key: 'x',
  expected,
  value,
})
const seen = (value: string | null, index: number | null = null): Answer => ({
  kind: 'seen',
  cells: [{ value, index }],
})
const written = (index: number | null = null): Answer => ({ kind: 'written', index })
const sum = (value: number): Answer => ({ kind: 'sum', value, index: null })
const deleted = (found: boolean): Answer => ({ kind: 'deleted', found, index: null })
const mismatch: Answer = { kind: 'mismatch' }

const both: Action = {
  kind: 'put',
  pairs: [
    ['x', 'a'],
    ['y', 'b'],
  ],
}
const getBoth: Action = { kind: 'get', keys: ['x', 'y'] }
const seenBoth = (x: string | null, y: string | null): Answer => ({
  kind: 'seen',
  cells: [
    { value: x, index: null },
    { value: y, index: null },
  ],
})

const REFUSED: Record<string, Operation[]> = {
  'stale read after a write returned': history(
    [0, 1, put('a'), written()],
    [2, 3, put('b'), written()],
    [4, 5, get, seen('a')],
  ),
  'value nobody wrote, or only one who was refused': history([0, 1, get, seen('a')]),
  'lost update: two compare-and-set from one value': history(
    [0, 1, put('a'), written()],
    [2, 5, cas('a', 'b'), written()],
    [3, 6, cas('a', 'c'), written()],
  ),
  'a read goes back, of another client': history(
    [0, 1, put('a'), written()],
    [2, 9, put('b'), written()],
    [3, 4, get, seen('b')],
    [5, 6, get, seen('a')],
  ),
  'a deleted value returns': history(
    [0, 1, put('a'), written()],
    [2, 3, remove, deleted(true)],
    [4, 5, get, seen('a')],
  ),
  'a write is visible, then not, then again': history(
    [0, 9, put('a'), written()],
    [1, 2, get, seen('a')],
    [3, 4, get, seen(null)],
    [5, 6, get, seen('a')],
  ),
  'a compare-and-set refused though only its expectation was possible': history(
    [0, 1, put('a'), written()],
    [2, 3, cas('a', 'b'), mismatch],
  ),
  'a delete found twice after one put': history(
    [0, 1, put('a'), written()],
    [2, 5, remove, deleted(true)],
    [3, 6, remove, deleted(true)],
  ),
  'one pair visible without the other': history(
    [0, 9, both, written()],
    [1, 2, getBoth, seenBoth('a', null)],
  ),
  'a read between two acknowledged writes shows neither': history(
    [0, 1, put('a'), written()],
    [2, 3, get, seen(null)],
    [4, 5, put('b'), written()],
  ),
  'an index falls': history([0, 1, put('a'), written(5)], [2, 3, put('b'), written(4)]),
  'an index repeats': history([0, 1, put('a'), written(5)], [2, 3, put('b'), written(5)]),
  'a read shows another index': history([0, 1, put('a'), written(5)], [2, 3, get, seen('a', 6)]),
  'an index falls after an unknown write': history(
    [0, 1, put('a'), written(5)],
    [2, null, put('b'), null],
    [3, 4, get, seen('b', 5)],
  ),
  'a counter above acknowledged and unknown': history(
    [0, 1, add(1), sum(1)],
    [2, null, add(1), null],
    [3, 4, get, seen('3')],
  ),
  'an increment that took effect twice': history([0, 1, add(1), sum(1)], [2, 3, get, seen('2')]),
  'an unknown write seen, and denied to a later reader': history(
    [0, null, put('a'), null],
    [1, 2, get, seen('a')],
    [3, 4, get, seen(null)],
  ),
}

const ACCEPTED: Record<string, Operation[]> = {
  'concurrent writes in either order': history(
    [0, 5, put('a'), written()],
    [1, 4, put('b'), written()],
    [6, 7, get, seen('a')],
  ),
  'an unknown write that shows up late': history(
    [0, null, put('a'), null],
    [1, 2, get, seen(null)],
    [3, 4, get, seen('a')],
  ),
  'an unknown write that never does': history(
    [0, null, put('a'), null],
    [1, 2, put('b'), written()],
    [3, 4, get, seen('b')],
  ),
  'an unknown write between two indexes': history(
    [0, 1, put('a'), written(5)],
    [2, null, put('b'), null],
    [3, 4, get, seen('b', 7)],
    [5, 6, put('c'), written(8)],
  ),
  'a compare-and-set refused by an unknown write': history(
    [0, 1, put('a'), written()],
    [2, null, put('b'), null],
    [3, 4, cas('a', 'c'), mismatch],
  ),
  'overlapping reads that differ': history(
    [0, 9, put('a'), written()],
    [1, 8, get, seen('a')],
    [2, 7, get, seen(null)],
  ),
  'a put of the same value is not only a reader': history(
    [0, 1, put('a'), written()],
    [2, 9, put('a'), written()],
    [3, 4, put('b'), written()],
    [5, 6, get, seen('a')],
  ),
  'both pairs at once': history(
    [0, 9, both, written()],
    [1, 2, getBoth, seenBoth(null, null)],
    [3, 4, getBoth, seenBoth('a', 'b')],
  ),
}

t.test('a history that no single copy could have given is refused', async t => {
  for (const [name, operations] of Object.entries(REFUSED)) {
    t.equal(judge(operations).kind, 'violation', name)
  }
})

t.test('a history that a single copy could have given is accepted', async t => {
  for (const [name, operations] of Object.entries(ACCEPTED)) {
    t.equal(judge(operations).kind, 'linearizable', name)
  }
})

t.test('too many possibilities are no verdict', async t => {
  const adds = Array.from({ length: 16 }, (_, at): Step => [at, null, add(2 ** at), null])
  t.equal(judge(history(...adds, [20, 21, get, seen('65535')]), 500).kind, 'undecided')
})

t.test('unknowns that are alike are not told apart', async t => {
  const adds = Array.from({ length: 40 }, (_, at): Step => [at, null, add(1), null])
  const verdict = (value: string) => judge(history(...adds, [50, 51, get, seen(value)]), 500).kind
  t.equal(verdict('40'), 'linearizable')
  t.equal(verdict('41'), 'violation')
})

t.test('it agrees with brute force on 3,000 small histories', async t => {
  const chance = new Chance(1, 'histories')
  const kinds = { linearizable: 0, violation: 0, undecided: 0 }
  for (let i = 0; i < 3000; i++) {
    const operations = draw(chance)
    const expected = tryAll(operations) ? 'linearizable' : 'violation'
    const { kind } = judge(operations)
    kinds[kind]++
    if (kind !== expected) t.equal(kind, expected, JSON.stringify(operations))
  }
  t.comment(JSON.stringify(kinds))
  t.ok(kinds.linearizable > 300 && kinds.violation > 300)
})

t.test('2,000 operations of eight clients on one key take no more than seconds', async t => {
  const operations = run(new Chance(2, 'long'), 2000)
  const begin = performance.now()
  t.equal(judge(operations).kind, 'linearizable')
  const ms = Math.round(performance.now() - begin)
  t.comment(`${ms} ms`)
  t.ok(ms < 10_000)
})

/** At most six operations of one key, with answers that need not fit. */
function draw(chance: Chance): Operation[] {
  const indexed = chance.happens(0.5)
  return Array.from({ length: chance.within(2, 6) }, () => {
    const called = chance.within(0, 9)
    const unknown = chance.happens(0.15)
    const action = drawAction(chance)
    const index = indexed && chance.happens(0.7) ? chance.within(1, 6) : null
    return {
      action,
      called,
      returned: unknown ? null : called + chance.within(1, 5),
      answer: unknown ? null : drawAnswer(chance, action, index),
    }
  })
}

const VALUES = ['1', '2'] as const

function drawAction(chance: Chance): Action {
  switch (chance.within(0, 6)) {
    case 0:
    case 1:
      return put(chance.oneOf(VALUES))
    case 2:
      return cas(chance.oneOf([null, ...VALUES]), chance.oneOf(VALUES))
    case 3:
      return remove
    case 4:
      return add(1)
    default:
      return get
  }
}

function drawAnswer(chance: Chance, action: Action, index: number | null): Answer {
  switch (action.kind) {
    case 'get': {
      const value = chance.oneOf([null, ...VALUES])
      return seen(value, value === null ? null : index)
    }
    case 'put':
      return written(index)
    case 'compare-and-set':
      return chance.happens(0.5) ? mismatch : written(index)
    case 'delete':
      return chance.happens(0.5) ? deleted(false) : { kind: 'deleted', found: true, index }
    case 'add':
      return { kind: 'sum', value: chance.within(1, 3), index }
  }
}

/** Every order that respects real time, with and without each unknown. */
function tryAll(operations: readonly Operation[]): boolean {
  const model = new Model(operations)
  const from = (state: State, left: readonly Operation[]): boolean => {
    if (left.every(({ returned }) => returned === null)) return true
    return left.some(operation => {
      const others = left.filter(each => each !== operation)
      const tooLate = others.some(
        ({ returned }) => returned !== null && returned < operation.called,
      )
      const after = tooLate ? null : model.after(state, operation)
      return after !== null && from(after, others)
    })
  }
  return from(model.initial, operations)
}

/** What eight clients of a correct register would be told. */
function run(chance: Chance, count: number): Operation[] {
  const operations: Operation[] = []
  const free = Array.from({ length: 8 }, () => 0)
  let value: string | null = null
  for (let time = 0; operations.length < count; time++) {
    const client = chance.within(0, free.length - 1)
    if ((free[client] ?? 0) >= time) continue
    const returned = time + chance.within(0, 10)
    free[client] = returned
    const action = chance.happens(0.5) ? get : put(`${time}`)
    const called = Math.max(0, time - chance.within(0, 5))
    if (action.kind === 'put') value = `${time}`
    operations.push({
      action,
      called,
      returned,
      answer: action.kind === 'put' ? written() : seen(value),
    })
  }
  return operations
}
