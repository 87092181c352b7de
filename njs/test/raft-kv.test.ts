import t from 'tap'
import { takeBatch } from '../src/batch.ts'
import { FORMAT, WATERMARK } from '../src/dict.ts'
import kv from '../src/raft-kv.ts'
import { MapDict } from './map-dict.ts'

/** nginx's own object, with a zone that a copy of the store was begun or finished in. */
function nginxWith(dict: MapDict | undefined): void {
  const shared = dict === undefined ? {} : { raft_kv: dict }
  Object.assign(globalThis, { ngx: { shared } })
}

const common = {
  format: FORMAT,
  epoch: 'e',
  node: 'n',
  copy: 'c',
  more: false,
  open: null,
} as const

function filled(knownAt: number, only: readonly string[] = []): MapDict {
  const dict = new MapDict()
  const ops = [
    ['a', 'u3,1\none'],
    ['b%2F%C3%A9', 'u\n{"x":1}'],
    ['binary', 'b\n/w=='],
  ]
  const at = { from: 7, to: 7, knownAt, only }
  takeBatch(dict, { ...common, ...at, kind: 'reset', part: 0, ops: [] }, () => 0)
  takeBatch(dict, { ...common, ...at, kind: 'last', part: 1, ops }, () => 0)
  return dict
}

t.test('what a script of an operator reads', async t => {
  nginxWith(filled(Date.now() - 500))
  t.equal(kv.get('a'), 'one')
  t.equal(kv.get('b/é'), '{"x":1}')
  t.strictSame(kv.json('b/é'), { x: 1 })
  t.equal(kv.json('a'), undefined, 'no JSON')
  t.equal(kv.get('binary'), undefined, 'no text')
  t.equal(kv.get('nothing'), undefined)
  t.equal(kv.get('\ud800'), undefined, 'no key that there can be')
  t.equal(kv.index(), 7)
  t.ok(kv.ageMs() >= 500 && kv.ageMs() < 60_000)
})

t.test('nothing is told from a copy that is unfinished, or where there is none', async t => {
  const begun = filled(Date.now())
  const reset = { kind: 'reset', from: 9, to: 9, knownAt: 0, part: 0, only: [], ops: [] } as const
  takeBatch(begun, { ...common, ...reset }, () => 0)
  takeBatch(begun, { ...common, ...reset, kind: 'fill', part: 1, ops: [['a', 'u\ntwo']] }, () => 0)
  t.equal(begun.get('ka'), 'u\ntwo')
  const other = filled(Date.now())
  other.set(WATERMARK, '{"format":0,"whole":true,"index":7}')
  for (const dict of [begun, other, new MapDict(), undefined]) {
    nginxWith(dict)
    t.equal(kv.get('a'), undefined)
    t.equal(kv.index(), 0)
    t.equal(kv.ageMs(), Number.POSITIVE_INFINITY)
  }
})

t.test('an age that nobody knows is no age', async t => {
  nginxWith(filled(0))
  t.equal(kv.ageMs(), Number.POSITIVE_INFINITY)
  t.equal(kv.get('a'), 'one', 'but the value is')
  nginxWith(filled(Date.now() + 60_000))
  t.equal(kv.ageMs(), Number.POSITIVE_INFINITY, 'the clock was set back')
})

t.test('keys that are not kept here are not known', async t => {
  nginxWith(filled(Date.now(), ['b%2F']))
  t.equal(kv.get('a'), undefined)
  t.equal(kv.get('b/é'), '{"x":1}')
})
