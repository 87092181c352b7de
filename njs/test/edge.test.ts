import { deepEqual, equal, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { FORMAT, type Batch as Sent } from '../../agent/src/gateway/edge-batch.ts'
import { rowOf, spellingOf } from '../../agent/src/gateway/edge-rows.ts'
import { type Batch, takeBatch } from '../src/batch.ts'
import {
  canonical,
  exact,
  isWhole,
  readWatermark,
  textOf,
  WATERMARK,
  type Watermark,
  writeWatermark,
} from '../src/dict.ts'
import { clearUpTo, highest, note, type Pending } from '../src/pending.ts'
import { MapDict } from './map-dict.ts'

/** The two halves know each other's batches only by their shape: the compiler compares them. */
function batch(given: Partial<Sent> & Pick<Sent, 'kind' | 'from' | 'to'>): Batch {
  const rest = { epoch: 'e', node: 'node0', only: [], copy: 'c', part: 0, more: false, open: null }
  return { format: FORMAT, ...rest, knownAt: 1_000, ops: [], ...given }
}

function wholeDict(index = 7): MapDict {
  const dict = new MapDict()
  takeBatch(dict, batch({ kind: 'reset', from: index, to: index }), () => 0)
  const ops = [['a', 'uone']] as const
  takeBatch(dict, batch({ kind: 'last', from: index, to: index, part: 1, ops }), () => 0)
  return dict
}

const anyAge = { maxAgeMs: 10_000, minIndex: 0, now: 1_500 }

t.test('a key has one spelling, whoever spells it and however it was written', async t => {
  const key = fc.uint8Array({ minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(key, fc.infiniteStream(fc.boolean()), (bytes, choices) => {
      const raw = [...bytes].map(byte => written(byte, choices.next().value === true)).join('')
      return canonical(raw) === spellingOf(bytes)
    }),
  )
  t.equal(canonical('a%2fb'), 'a%2Fb')
})

/** As a client may write it: escaped in either case, or plain where that is allowed. */
function written(byte: number, escaped: boolean): string {
  const char = String.fromCharCode(byte)
  if (!escaped && /[A-Za-z0-9._~!$&'()*+,;=:@-]/.test(char)) return char
  const hex = byte.toString(16).padStart(2, '0')
  return `%${escaped ? hex.toUpperCase() : hex}`
}

t.test('a value that is text comes back as it was', async t => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      equal(textOf(rowOf(Buffer.from(text), null)), Buffer.from(text).toString())
    }),
  )
  t.equal(textOf(rowOf(new Uint8Array([0xc3]), null)), undefined)
})

t.test('what a reader needs of the watermark', async t => {
  const dict = wholeDict()
  const found = (need: Partial<typeof anyAge>) => exact(dict, 'a', { ...anyAge, ...need })
  t.match(found({}), { index: 7, ageMs: 500, row: 'uone', node: 'node0' })
  t.equal(found({ maxAgeMs: 499 }), null, 'too old')
  t.equal(found({ now: 999 }), null, 'the clock was set back')
  t.equal(found({ minIndex: 8 }), null)
  t.not(found({ minIndex: 7 }), null)
  t.equal(exact(new MapDict(), 'a', anyAge), null)
  const stored = dict.get(WATERMARK) ?? ''
  const mark = readWatermark(stored)
  if (mark === null) throw new Error('there is a watermark')
  for (const other of [`${FORMAT + 1}${stored.slice(1)}`, JSON.stringify({ ...mark, format: 2 })]) {
    dict.set(WATERMARK, other)
    t.equal(found({}), null, 'rows of another format')
    t.equal(readWatermark(other), null)
  }
  dict.set(WATERMARK, writeWatermark({ ...mark, only: ['b%2F', 'a%2F'] }))
  t.equal(found({}), null, 'a key that is not kept here')
  t.not(exact(dict, 'a%2Fx', anyAge), null)
})

t.test('a watermark comes back as it was written', async t => {
  const number = fc.integer({ min: 0, max: 10 ** 15 - 1 })
  const spelled = fc.stringMatching(/^[A-Za-z0-9._~%-]{1,20}$/)
  const rules = fc.array(fc.tuple(fc.stringMatching(/^[A-Za-z0-9._~%-]{0,20}$/), fc.boolean()))
  const marks: fc.Arbitrary<Watermark> = fc.record({
    ...{ format: fc.constant(FORMAT), epoch: fc.string(), copy: fc.string(), node: spelled },
    ...{
      only: fc.array(spelled),
      open: fc.option(rules),
      index: number,
      next: number,
      knownAt: number,
    },
    ...{ whole: fc.boolean(), part: fc.nat() },
  })
  fc.assert(
    fc.property(marks, mark => {
      const text = writeWatermark(mark)
      deepEqual(readWatermark(text), { ...mark })
      equal(isWhole(text), mark.whole)
    }),
  )
  t.equal(readWatermark(undefined), null)
})

t.test('a row is read between two equal watermarks', async t => {
  const dict = wholeDict()
  const { get } = MapDict.prototype
  let reads = 0
  let changes = 1
  dict.get = key => {
    const value = get.call(dict, key)
    if (key === 'ka' && changes-- > 0) {
      reads++
      const ops = [['a', 'utwo']] as const
      const index = readWatermark(get.call(dict, WATERMARK))?.index ?? 0
      takeBatch(dict, batch({ kind: 'delta', from: index, to: index + 1, ops }), () => 0)
    }
    return value
  }
  t.match(
    exact(dict, 'a', anyAge),
    { index: 8, row: 'utwo' },
    'never the old row with the new index',
  )
  changes = 100
  t.equal(exact(dict, 'a', anyAge), null, 'rather the agent than for ever')
  t.equal(reads, 4)
})

t.test('a worker that was held up while it wrote leaves nothing that is served', async t => {
  const dict = wholeDict()
  const ops = [
    ['a', 'ulate'],
    ['b', 'ulate'],
  ] as const
  const times = [0, 0, 501]
  const late = batch({ kind: 'delta', from: 7, to: 8, ops })
  t.match(
    takeBatch(dict, late, () => times.shift() ?? 501),
    { status: 503 },
  )
  t.equal(exact(dict, 'a', anyAge), null, 'half written')
  t.match(
    takeBatch(dict, late, () => 0),
    { status: 200, index: 8 },
    'sent again',
  )
  t.match(exact(dict, 'b', anyAge), { index: 8, row: 'ulate' })
})

t.test('a worker that finds another’s work in its own leaves nothing that is served', async t => {
  const dict = wholeDict()
  const ops = [
    ['a', 'uold'],
    ['b', 'uold'],
  ] as const
  dict.before = key => {
    if (key !== 'kb') return
    dict.before = () => {}
    takeBatch(dict, batch({ kind: 'delta', from: 7, to: 9, ops: [['a', 'unew']] }), () => 0)
  }
  const verdict = takeBatch(dict, batch({ kind: 'delta', from: 7, to: 8, ops }), () => 0)
  t.strictSame(verdict, { status: 409, watermark: null })
  t.equal(exact(dict, 'a', anyAge), null)
})

t.test('a zone that is full serves nothing', async t => {
  const dict = wholeDict()
  dict.before = key => {
    if (key === 'kb') throw new RangeError('full')
  }
  const ops = [['b', 'x']] as const
  const verdict = takeBatch(dict, batch({ kind: 'delta', from: 7, to: 8, ops }), () => 0)
  t.match(verdict, { status: 507, error: 'RangeError' })
  t.equal(exact(dict, 'a', anyAge), null)
})

t.test('of the entries that readers have to see, none is lost in any order', async t => {
  const steps = fc.array(fc.record({ clear: fc.boolean(), index: fc.integer({ min: 1, max: 50 }) }))
  fc.assert(
    fc.property(steps, steps => {
      const items = new Map<string, number>()
      const pending: Pending = {
        add: (key, value) => !items.has(key) && items.set(key, value) !== undefined,
        delete: key => items.delete(key),
        keys: () => [...items.keys()],
      }
      let noted: number[] = []
      for (const { clear, index } of steps) {
        if (clear) {
          clearUpTo(pending, index)
          noted = noted.filter(each => each > index)
        } else {
          note(pending, index)
          noted.push(index)
        }
        equal(highest(pending), Math.max(0, ...noted))
        ok(items.size <= 1)
      }
    }),
    { numRuns: 50 },
  )
  t.pass('in 50 runs')
})
