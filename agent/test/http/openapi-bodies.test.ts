/** What the document says of bodies, and what parses them, tried on the same texts. */
import fc from 'fast-check'
import t from 'tap'
import { z } from 'zod'
import { parseSession, sessionBody } from '../../src/http/consul/session-json.ts'
import { parseTransaction, transaction } from '../../src/http/consul/txn-body.ts'
import { checkKey } from '../../src/http/key-rules.ts'
import { pairsBody, parsePairs } from '../../src/http/pairs.ts'
import { isRefusal } from '../../src/http/refusal.ts'

const { SEED = Date.now() % 2 ** 31 } = process.env
const seed = Number(SEED)
t.comment(`SEED=${seed}`)

/** Small, so that what is drawn lies on both sides of each. */
const LIMITS = { keyBytesMax: 9, valueBytesMax: 8, namesMax: 3 }
const PAIRS = pairsBody(LIMITS)

type Schema = Parameters<typeof z.fromJSONSchema>[0]

function documented(schema: z.ZodType): z.ZodType {
  return z.fromJSONSchema(z.toJSONSchema(schema, { io: 'input' }) as Schema)
}

const unit = fc.constantFrom('a', 'b', '.', '/', '"', '\\', '\0', '\n', 'ü', '😀', '\ud800', '{')
const text = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit, maxLength: 4 }) },
  fc.constantFrom('', '.', '..', 'a/..', '../a', './', 'a/./b', '...', '__proto__', '7', 'a'),
  fc.constantFrom('a'.repeat(8), 'a'.repeat(9), 'a'.repeat(10), 'üüüü', 'üüüüa', 'üüüüü'),
)
const other = fc.constantFrom('1', 'null', 'true', '{}', '["a"]', '{"a":"b"}', '1e400', '')
const space = fc.constantFrom('', '', ' ', '\n\t', '\r', '\u00a0')
const member = fc
  .tuple(text, fc.oneof({ weight: 9, arbitrary: text.map(value => JSON.stringify(value)) }, other))
  .chain(([name, value]) => space.map(gap => `${gap}${JSON.stringify(name)}${gap}:${value}${gap}`))
const body = fc.array(member, { maxLength: 4 }).map(members => `{${members.join(',')}}`)
/** A character more, or one fewer, somewhere. */
const torn = fc
  .tuple(body, fc.nat(), fc.constantFrom('', '"', ',', '}', '\\', ':', '\ufeff', 'x'))
  .map(([whole, at, put]) => {
    const place = at % (whole.length + 1)
    return whole.slice(0, place) + put + whole.slice(put === '' ? place + 1 : place)
  })
  // It was UTF-8 when it came: half a character can only be named by an escape.
  .filter(json => !/\p{Surrogate}/u.test(json))

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

/** By what JSON.parse and the schema say, and by counting strings: that a name came twice no value shows. */
function isPairs(json: string): boolean {
  const value = parsed(json)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  // zod does not look at a member of this name, which the document knows nothing of.
  const members = Object.entries(value).map(([name, one]) => [
    name === '__proto__' ? '__prote__' : name,
    one,
  ])
  if (!PAIRS.safeParse(Object.fromEntries(members)).success) return false
  const strings = json.match(/"(?:[^"\\]|\\.)*"/g) ?? []
  return strings.length === 2 * members.length
}

t.test('POST /key: the parser takes exactly what the schema of the document says', async t => {
  const taken = { yes: 0, no: 0 }
  const law = fc.property(fc.oneof({ weight: 3, arbitrary: body }, torn), json => {
    const isTaken = !isRefusal(parsePairs(json, LIMITS))
    taken[isTaken ? 'yes' : 'no']++
    return isTaken === isPairs(json)
  })
  fc.assert(law, { seed, numRuns: 10_000 })
  t.ok(taken.yes > 500 && taken.no > 500, `${taken.yes} taken, ${taken.no} refused`)
})

t.test('POST /key: the rule of keys in the document is the one in the code', async () => {
  const { propertyNames } = z.toJSONSchema(PAIRS) as { propertyNames?: { pattern?: string } }
  const pattern = new RegExp(propertyNames?.pattern ?? 'none', 'u')
  const law = fc.property(
    text.filter(key => !/\p{Surrogate}/u.test(key)),
    key => pattern.test(key) === (checkKey(Buffer.from(key), 99) === null),
  )
  fc.assert(law, { seed, numRuns: 3_000 })
})

t.test('POST /key: what is taken, the document allows', async () => {
  const shown = documented(PAIRS)
  const law = fc.property(
    body.filter(json => !json.includes('__proto__')),
    json => {
      return isRefusal(parsePairs(json, LIMITS)) || shown.safeParse(parsed(json)).success
    },
  )
  fc.assert(law, { seed, numRuns: 3_000 })
})

const maybe = (arbitrary: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 12, arbitrary },
    fc.constantFrom<unknown>(null, 7, 1.5, -1, 'x y', true, [], {}, '', 2 ** 53),
  )

const step = fc.record(
  {
    Verb: maybe(fc.constantFrom('set', 'get-tree', 'delete-tree', 'cas', 'lock', 'constructor')),
    Key: maybe(fc.constantFrom('k', 'a/b', '', '..', 'ü', 'a'.repeat(10))),
    Value: maybe(fc.constantFrom('', 'YWI=', 'YQ==', 'no', 'YWJjZGVmZ2hpamts', null)),
    // Longer ones have a test of their own: no number of JavaScript holds them.
    Flags: maybe(fc.constantFrom(0, 42, 2 ** 53 - 1, '1')).filter(value => value !== 2 ** 53),
    Index: maybe(fc.constantFrom(0, 5, 2 ** 53 - 1)),
    Session: maybe(fc.constantFrom('s', 'a b', 'ü')),
    More: maybe(fc.constant(1)),
  },
  { requiredKeys: ['Verb', 'Key'] },
)

/** The rules of keys and the limits are this agent's, and not in the schema. */
function mayBeStored({ Verb, Key, Value }: Record<string, unknown>): boolean {
  const key = Buffer.from(typeof Key === 'string' ? Key : '')
  const empty = key.length === 0 && String(Verb).endsWith('-tree')
  const value = Buffer.from(typeof Value === 'string' ? Value : '', 'base64')
  return (
    (empty || checkKey(key, LIMITS.keyBytesMax) === null) && value.length <= LIMITS.valueBytesMax
  )
}

t.test('PUT /v1/txn: the parser takes exactly what the schema of the document says', async t => {
  const shown = documented(transaction)
  const taken = { yes: 0, no: 0 }
  const law = fc.property(fc.array(step, { maxLength: 3 }), steps => {
    const items = steps.map(KV => ({ KV }))
    const isTaken = !isRefusal(parseTransaction(JSON.stringify(items), LIMITS))
    taken[isTaken ? 'yes' : 'no']++
    const fits = transaction.safeParse(items).success && steps.every(mayBeStored)
    return isTaken === fits && (!isTaken || shown.safeParse(items).success)
  })
  fc.assert(law, { seed, numRuns: 5_000 })
  t.ok(taken.yes > 100 && taken.no > 100, `${taken.yes} taken, ${taken.no} refused`)
})

t.test('PUT /v1/txn: Flags of 64 bits, which no number of JavaScript holds', async t => {
  const flags = (digits: string) =>
    parseTransaction(`[{"KV":{"Verb":"set","Key":"k","Flags":${digits}}}]`, LIMITS)
  t.match(flags('18446744073709551615'), [{ flags: 2n ** 64n - 1n }])
  t.match(flags('18446744073709551616'), { status: 400 })
})

const session = fc.record(
  {
    Behavior: maybe(fc.constantFrom('release', 'delete', '', 'explode')),
    TTL: maybe(fc.constantFrom('10s', '24h', '9s', '0s', '24h1s', '1m30s', 'soon')),
    LockDelay: maybe(fc.constantFrom(0, 5, 2e9, '0', '10m', 'soon')),
    Name: maybe(fc.constantFrom('n', 'é', 'n'.repeat(255), 'n'.repeat(256), '\ud800')),
    Node: maybe(fc.constantFrom('web-1', '')),
    NodeChecks: maybe(fc.constantFrom<unknown>(['serfHealth'], ['disk'], [])),
    More: maybe(fc.constant(1)),
  },
  { requiredKeys: [] },
)

t.test('PUT /v1/session/create: the same', async t => {
  const shown = documented(sessionBody)
  const taken = { yes: 0, no: 0 }
  const law = fc.property(session, wanted => {
    const isTaken = !isRefusal(parseSession(JSON.stringify(wanted), { id: 'i', node: 'n' }))
    taken[isTaken ? 'yes' : 'no']++
    const fits = sessionBody.safeParse(wanted).success
    return isTaken === fits && (!isTaken || shown.safeParse(wanted).success)
  })
  fc.assert(law, { seed, numRuns: 5_000 })
  t.ok(taken.yes > 100 && taken.no > 100, `${taken.yes} taken, ${taken.no} refused`)
})
