import fc from 'fast-check'
import t from 'tap'
import { type Access, Rules } from '../../src/acl/rules.ts'

/** Few, so that prefixes meet. */
const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', 'ü'), maxLength: 4 })
const rules = fc.array(
  fc.record({ prefix: text, access: fc.constantFrom<Access>('deny', 'read', 'write') }),
  { maxLength: 6 },
)
type RuleList = readonly { readonly prefix: string; readonly access: Access }[]

/** As it is said: the longest prefix decides, `deny` among equals wins, else the lesser; none denies. */
function reference(list: RuleList, key: string): Access {
  const fitting = list.filter(({ prefix }) => key.startsWith(prefix))
  const longest = Math.max(...fitting.map(({ prefix }) => prefix.length))
  const deciding = fitting.filter(({ prefix }) => prefix.length === longest)
  const order: readonly Access[] = ['deny', 'read', 'write']
  return order.find(one => deciding.some(({ access }) => access === one)) ?? 'deny'
}

/** Every key that begins with `prefix` and could be judged in its own way. */
function below(list: RuleList, prefix: string): string[] {
  return [prefix, `${prefix}ab`, ...list.map(rule => rule.prefix)].filter(key =>
    key.startsWith(prefix),
  )
}

t.test('rules decide as the reference does, for keys and for whole prefixes', async t => {
  fc.assert(
    fc.property(rules, text, (list, key) => {
      const judge = new Rules(list)
      const bytes = Buffer.from(key)
      const access = reference(list, key)
      const all = below(list, key).map(one => reference(list, one))
      return (
        judge.mayRead(bytes) === (access !== 'deny') &&
        judge.mayWrite(bytes) === (access === 'write') &&
        judge.mayReadAll(bytes) === all.every(one => one !== 'deny') &&
        judge.mayWriteAll(bytes) === all.every(one => one === 'write') &&
        judge.mayReadSome(bytes) === all.some(one => one !== 'deny') &&
        judge.writesSomething === below(list, '').some(one => reference(list, one) === 'write')
      )
    }),
    { numRuns: 5_000 },
  )
  t.pass('5,000 lists')
})

t.test('of two rules of one prefix the one that denies wins, whatever their order', async t => {
  for (const order of [
    ['deny', 'write'],
    ['write', 'deny'],
  ] as const) {
    const judge = new Rules(order.map(access => ({ prefix: 'a', access })))
    t.notOk(judge.mayRead(Buffer.from('a')))
  }
})

t.test('a prefix is bytes: part of a character of a key is none of it', async t => {
  const judge = new Rules([{ prefix: 'ü', access: 'read' }])
  t.ok(judge.mayRead(Buffer.from('üb')))
  t.notOk(judge.mayRead(Buffer.from('ü').subarray(0, 1)))
})
