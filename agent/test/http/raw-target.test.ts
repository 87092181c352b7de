import fc from 'fast-check'
import t from 'tap'
import { checkKey } from '../../src/http/key-rules.ts'
import { checkMethod, parseTarget } from '../../src/http/raw-target.ts'
import { isRefusal } from '../../src/http/refusal.ts'

const LIMITS = { keyBytesMax: 512, headBytesMax: 16 * 1024 }
const { SEED = Date.now() % 2 ** 31 } = process.env
const seed = Number(SEED)
t.comment(`SEED=${seed}`)

function told(raw: string): string | number {
  const target = parseTarget(raw, LIMITS)
  if (isRefusal(target)) return target.status
  if (target.resource !== 'key') return target.resource
  return `key ${Buffer.from(target.key).toString('latin1')}`
}

const percent = (byte: number): string => `%${byte.toString(16).padStart(2, '0')}`
const allowedKey = fc
  .uint8Array({ minLength: 1, maxLength: 64 })
  .filter(key => checkKey(key, LIMITS.keyBytesMax) === null)

t.test('gateway.md §4: keys are the bytes after one percent-decoding', async t => {
  const table: Record<string, string> = {
    '/key/a%2Fb': 'a/b',
    '/key/a%2fb': 'a/b',
    'http://host/key/a%2Fb': 'a/b',
    'HTTP://[::1]:80/key/a%2Fb?x': 'a/b',
    '/key/a%252Fb': 'a%2Fb',
    '/key/a%25b': 'a%b',
    '/key/a+b': 'a+b',
    '/key/a%20b': 'a b',
    '/key/a;b': 'a;b',
    '/key/a%3Fb': 'a?b',
    '/key/a%23b': 'a#b',
    '/key/a?b=c/..': 'a',
    '/key/%E2%82%AC': '\xe2\x82\xac',
    '/key/%FF%FE': '\xff\xfe',
    '/key/a%0d%0aX:1': 'a\r\nX:1',
    '/key/...': '...',
    '/key/.a': '.a',
    '/key/a%2F%2Fb': 'a//b',
    '/key/__proto__': '__proto__',
    '/key/constructor': 'constructor',
  }
  for (const [raw, key] of Object.entries(table)) t.equal(told(raw), `key ${key}`, raw)
})

t.test('gateway.md §4 and attacks 21–26: what is refused', async t => {
  const refused = [
    ...['/key/a/b', '/key//a', '/key/', '/key/?x', '/key/€', '/key/a"b', '/key/a\\b', '/key/a#b'],
    ...['/key/a b', '/key/a%00b', '/key/%00', '/key/a%', '/key/a%2', '/key/a%zz', '/key/%zz'],
    ...['/key/.', '/key/..', '/key/%2e', '/key/.%2E', '/key/..%2Fv1%2Fkv%2Fx', '/key/a%2F..%2Fb'],
    ...['/key/\xff', '/%6bey/a', '/./key/a', '/v1/kv/../../key/a', '/v1/cluster/../../key'],
    ...['//key/a', '//x/v1/cluster/members', '//', '//[/key', '/../../v1/cluster/members'],
    ...['/v1/kv/..%2Fcluster/members', '/v1/kv/%2e%2e/cluster', '/v1/cluster%2F..%2Fkv/a'],
    ...['/%76%31/cluster/members', '/v1%2Fcluster', '/status/%2e', '/v1/a%00', '/v1/%zz'],
    ...['', '*', 'key/a', 'http:///key/a', 'http://u@h/key/a', 'ftp://h/key/a', 'http://h'],
    ...['/key/a?\xff', '/key/a?b#c', '/key/a?%zz', '/key/a?b=%2', `/key/${'a'.repeat(513)}`],
  ]
  for (const raw of refused) t.equal(told(raw), 400, raw)
  t.equal(told(`/key/${'%41'.repeat(512)}`), `key ${'A'.repeat(512)}`)
  t.equal(told(`/key/a?${'x'.repeat(9000)}`), 414)
})

t.test(
  'a key of /v1/kv is all that follows, decoded once; a session is named at the end',
  async t => {
    const key = (raw: string): string | number => {
      const target = parseTarget(raw, LIMITS)
      return target.kind === 'target'
        ? `${target.resource} ${Buffer.from(target.key)}`
        : target.status
    }
    t.equal(key('/v1/kv/a/b//c/?recurse'), 'kv a/b//c/')
    t.equal(key('/v1/kv/a%2Fb%252F'), 'kv a/b%2F')
    t.equal(key('/v1/kv/'), 'kv ')
    t.equal(key('/v1/kv'), 'elsewhere ')
    t.equal(key('/v1/kv/a/%2e%2e/b'), 400)
    t.equal(key('/v1/kv/a%00'), 400)
    t.equal(key('/v1/session/renew/x%2Fy'), 'session-renew x/y')
    t.equal(key('/v1/session/other/x'), 'elsewhere ')
    t.equal(key('/v1/watch?prefix=a'), 'watch ')
  },
)

t.test('pages are found by the plain path alone', async t => {
  t.equal(told('/key'), 'keys')
  t.equal(told('/key?x'), 'keys')
  t.equal(told('/status?brief=1'), 'status')
  t.equal(told('http://host/readyz'), 'readyz')
  t.equal(told('/v1/cluster/members?x'), 'members')
  t.equal(told('/v1/cluster/members/node-1.a'), 'member')
  t.equal(told('/v1/cluster/members/members/promote'), 'promotion')
  for (const raw of [
    ...['/', '/Status', '/status/', '/v1/cluster', '/v1/%6bv/a', '/keys'],
    ...['/v1/cluster/members/', '/v1/cluster/members/a%20b', '/v1/%63luster/members'],
  ]) {
    t.equal(told(raw), 'unknown', raw)
  }
})

t.test('a query names its parts in any spelling; the first of two counts', async t => {
  const target = parseTarget('/key/a?%63onsistent&a=1&a=2&b=%26', LIMITS)
  if (isRefusal(target)) throw new Error('refused')
  const named = [...target.query]
  t.strictSame(named, [
    ['consistent', ''],
    ['a', '1'],
    ['b', '&'],
  ])
})

t.test('405 says what the resource takes', async t => {
  t.equal(checkMethod('keys', 'POST'), null)
  t.equal(checkMethod('unknown', 'BREW'), null)
  t.match(checkMethod('key', 'PUT'), { status: 405, allow: 'GET, HEAD, DELETE' })
  t.match(checkMethod('status', 'TRACE'), { status: 405, allow: 'GET, HEAD' })
})

t.test('every allowed key is reached by every spelling of it', async () => {
  const plain = /[A-Za-z0-9._~!$&'()*+,;=:@-]/
  const law = fc.property(allowedKey, fc.infiniteStream(fc.boolean()), (key, choices) => {
    const spelt = [...key].map(byte => {
      const char = String.fromCharCode(byte)
      const escaped = choices.next().value === true || !plain.test(char)
      const upper = choices.next().value === true
      return escaped ? (upper ? percent(byte).toUpperCase() : percent(byte)) : char
    })
    const target = parseTarget(`/key/${spelt.join('')}`, LIMITS)
    return !isRefusal(target) && Buffer.from(key).equals(target.key)
  })
  fc.assert(law, { seed, numRuns: 500 })
})

t.test('no text throws, and no key gets through that the rules refuse', async () => {
  const piece = fc.constantFrom(
    '/',
    '//',
    '.',
    '..',
    '%2e',
    '%2F',
    '%00',
    '%',
    'key',
    '?',
    'a',
    '\\',
  )
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(piece).map(parts => parts.join('')),
    fc.array(piece).map(parts => `/key/${parts.join('')}`),
  )
  const law = fc.property(text, raw => {
    const target = parseTarget(raw, LIMITS)
    if (isRefusal(target)) return target.status === 400 || target.status === 414
    return target.resource !== 'key' || checkKey(target.key, LIMITS.keyBytesMax) === null
  })
  fc.assert(law, { seed, numRuns: 500 })
})

t.test('a dot segment is refused in every spelling and place', async () => {
  const dot = fc.constantFrom('.', '%2e', '%2E')
  const dots = fc.oneof(
    dot,
    fc.tuple(dot, dot).map(pair => pair.join('')),
  )
  const segments = fc.array(fc.constantFrom('a', 'v1', 'key', 'kv%20'), { maxLength: 3 })
  const slash = fc.constantFrom('/', '%2F', '%2f')
  const law = fc.property(segments, dots, segments, slash, (before, middle, after, separator) => {
    const raw = `/${[...before, middle, ...after].join(separator)}`
    return isRefusal(parseTarget(raw, LIMITS))
  })
  fc.assert(law, { seed, numRuns: 1000 })
})
