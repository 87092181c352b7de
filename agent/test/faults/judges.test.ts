import t from 'tap'
import { conclude } from '../../../scripts/faults/mixed/caller.ts'
import { type Acquisition, judgeLocks } from '../../../scripts/faults/mixed/locks.ts'
import { judgeList } from '../../../scripts/faults/mixed/sets.ts'
import { judgeWatches, type Watcher } from '../../../scripts/faults/mixed/watches.ts'

/** What the checkers of the fault runs have to find, and what they must not find. */

t.test('an answer says no more than is promised', async t => {
  t.equal(conclude(200, true), 'sure')
  t.equal(conclude(409, true), 'sure')
  t.equal(conclude(503, true), 'refused')
  t.equal(conclude(421, true), 'refused')
  t.equal(conclude(504, true), 'unknown')
  t.equal(conclude(502, true), 'unknown')
  t.equal(conclude(0, true), 'unknown')
  t.equal(conclude(0, false), 'refused', 'nobody was there to be sent anything')
  t.equal(conclude(500, true), 'strange')
})

t.test('a list of a set', async t => {
  const add = (elements: string[], fate: 'asked' | 'acknowledged' | 'refused', returned = 5) => {
    return { elements, fate, returned }
  }
  const judge = (additions: readonly ReturnType<typeof add>[], ...shown: readonly string[]) =>
    judgeList(additions, new Set(shown), 10)
  t.strictSame(judge([add(['a', 'b'], 'acknowledged')], 'a', 'b'), [])
  t.strictSame(judge([add(['a'], 'acknowledged', 11)]), [], 'answered after the list was asked for')
  t.strictSame(judge([add(['a', 'b'], 'asked')]), [])
  t.strictSame(judge([add(['a', 'b'], 'asked')], 'a', 'b'), [])
  t.match(judge([add(['a'], 'acknowledged')]), ['acknowledged before, only 0'], 'lost')
  t.match(judge([add(['a', 'b'], 'acknowledged')], 'b'), ['only 1'], 'half lost')
  t.match(judge([add(['a'], 'refused')], 'a'), ['were refused'])
  t.match(judge([add(['a', 'b'], 'asked')], 'a'), ['added at once, 1'])
  t.match(judge([], 'x'), ['nobody added x'])
})

t.test('holders of a lock', async t => {
  const lock = 'l'
  const hold = (session: string, token: number, [called, returned] = [0, 1]): Acquisition => {
    return { lock, session, token, called: called ?? 0, returned: returned ?? 0 }
  }
  const write = (session: string, token: number, index: number) => ({ lock, session, token, index })
  const one = hold('s', 3, [0, 1])
  const two = hold('t', 7, [4, 5])
  t.strictSame(judgeLocks([two, one], [write('s', 3, 5), write('t', 7, 9)]), [])
  t.match(judgeLocks([one, two], [write('s', 3, 8)]), ['written at 8 under 3, and 7 was another'])
  t.match(judgeLocks([one, hold('t', 3, [4, 5])], []), ['acquired twice'])
  t.match(judgeLocks([hold('s', 7, [0, 1]), hold('t', 3, [4, 5])], []), ['token 7 was told before'])
  const overlapping = [hold('s', 7, [0, 6]), hold('t', 3, [4, 5])]
  t.strictSame(judgeLocks(overlapping, []), [], 'both were asked for when either was told')
})

t.test('what watchers are told', async t => {
  const watcher = (
    name: string,
    [after, to]: readonly [number, number],
    seen: Record<number, string>,
    prefix = '',
  ): Watcher => {
    const stretch = { after, to }
    const entries = Object.entries(seen).map(([index, text]) => [Number(index), text] as const)
    return { name, prefix, stretches: [stretch], stretch, seen: new Map(entries) }
  }
  const all = { 2: 'set a 1', 3: 'set s/x 2\nset b 2', 5: 'delete a' }
  const whole = watcher('whole', [1, 6], all)
  const below = watcher('below', [1, 6], { 3: 'set s/x 2' }, 's/')
  const late = watcher('late', [2, 4], { 3: 'set s/x 2\nset b 2' })
  t.strictSame(judgeWatches([whole, below, late], [{ index: 2, key: 'a', value: '1' }]), [])
  t.strictSame(judgeWatches([late], [{ index: 2, key: 'a', value: '1' }]), [], 'before it watched')
  const deaf = watcher('deaf', [1, 6], { 2: 'set a 1', 5: 'delete a' })
  t.match(judgeWatches([whole, deaf], []), ['entry 3: whole was told', 'entry 3'].slice(0, 1))
  const wrong = watcher('wrong', [1, 6], { 3: 'set s/x 3' }, 's/')
  t.ok(judgeWatches([whole, wrong], []).length > 0, 'told otherwise')
  const half = watcher('half', [1, 6], { ...all, 3: 'set b 2' })
  t.ok(judgeWatches([half, below], []).length > 0, 'an entry comes whole')
  const acknowledged = [{ index: 4, key: 'c', value: '9' }]
  t.match(judgeWatches([whole], acknowledged), ['whole was not told that c was set to 9'])
})
