import fc from 'fast-check'
import t from 'tap'
import { checkKey } from '../../src/http/key-rules.ts'
import { parsePairs } from '../../src/http/pairs.ts'
import { isRefusal } from '../../src/http/refusal.ts'

const LIMITS = { keyBytesMax: 512, valueBytesMax: 1024, namesMax: 1000 }
const { SEED = Date.now() % 2 ** 31 } = process.env
const seed = Number(SEED)
t.comment(`SEED=${seed}`)

function told(text: string): number | string[][] {
  const pairs = parsePairs(text, LIMITS)
  if (isRefusal(pairs)) return pairs.status
  return pairs.map(({ key, value }) => [key, value].map(bytes => Buffer.from(bytes).toString()))
}

t.test('pairs come in the order of the text, names are plain data', async t => {
  t.strictSame(told('{"b":"1","a":"2","7":"3"}'), [
    ['b', '1'],
    ['a', '2'],
    ['7', '3'],
  ])
  t.strictSame(told(' {\t"__proto__" :\r\n"x" , "constructor":"" } \n'), [
    ['__proto__', 'x'],
    ['constructor', ''],
  ])
  t.strictSame(told('{"a\\"\\\\":"\\u20ac\\ud83d\\ude00\\n\\u0000"}'), [['a"\\', '€😀\n\0']])
  t.strictSame(told('{"\u00e9":"NFC","e\u0301":"NFD"}'), [
    ['\u00e9', 'NFC'],
    ['e\u0301', 'NFD'],
  ])
})

t.test('attack 37: what is not an object of strings is refused', async t => {
  const bad = [
    ...['', ' ', '{', '{}', '[]', '"a"', 'null', '1', '{"a"}', '{"a":}', '{"a":1}', '{"a":null}'],
    ...[
      '{"a":true}',
      '{"a":{}}',
      '{"a":["b"]}',
      '{"a":"b",}',
      '{,"a":"b"}',
      '{"a":"b"}x',
      '{a:"b"}',
    ],
    ...['{"a":"b"', '{"a":"b', '{"a":"\\"}', "{'a':'b'}", '{"a":"b"}{"a":"b"}', '{"a" "b"}'],
    ...[
      '{"a":"\n"}',
      '{"a":"\\x"}',
      '{"a":"\\ud800"}',
      '{"\\udc00":"a"}',
      '{"a":"\\ude00\\ud83d"}',
    ],
    ...['\ufeff{"a":"b"}', '{"a":1e400}', '{"a":9007199254740993}', '/**/{"a":"b"}'],
    ...['{"__proto__":{"admin":true}}', '{"a":"1","a":"2"}', '{"a":"1","\\u0061":"2"}'],
    ...['{"":"a"}', '{".":"a"}', '{"a/../b":"c"}', '{"\\u0000":"a"}', `{"${'a'.repeat(513)}":"b"}`],
  ]
  for (const text of bad) t.equal(told(text), 400, text.slice(0, 40))
  t.equal(({} as { admin?: boolean }).admin, undefined)
  t.equal(told(`{"a":"${'b'.repeat(1025)}"}`), 413)
})

t.test('attack 37: great depth, many names and much space are refused quickly', async t => {
  const many = (count: number): string =>
    `{${Array.from({ length: count }, (_, i) => `"${i}":""`).join(',')}}`
  t.equal(told(`{"a":${'['.repeat(100_000)}`), 400)
  t.equal(told(`{"a":${'{"a":'.repeat(100_000)}`), 400)
  t.equal((told(many(1000)) as string[][]).length, 1000)
  t.equal(told(many(1001)), 400)
  t.equal(told(' '.repeat(1024 * 1024)), 400)
  t.equal(told(`{"${'\\'.repeat(1024 * 1024)}`), 400)
  t.equal(told(`{"${'\\"'.repeat(512 * 1024)}`), 400)
})

t.test('what JSON.stringify writes is read back', async () => {
  const text = fc.string({ unit: 'grapheme' })
  const name = text.filter(key => checkKey(Buffer.from(key), LIMITS.keyBytesMax) === null)
  const law = fc.property(fc.dictionary(name, text, { minKeys: 1 }), pairs => {
    const read = told(JSON.stringify(pairs, null, 1))
    return JSON.stringify(read) === JSON.stringify(Object.entries(pairs))
  })
  fc.assert(law, { seed })
})

t.test('agrees with JSON.parse on what is malformed', async () => {
  const piece = fc.constantFrom(
    '{',
    '}',
    '"',
    ':',
    ',',
    ' ',
    'a',
    '\\',
    '"a"',
    '"b":"c"',
    '\n',
    'u0061',
  )
  const law = fc.property(
    fc.array(piece).map(parts => `{${parts.join('')}}`),
    text => {
      const read = told(text)
      if (typeof read === 'number') return true
      return JSON.stringify(Object.entries(JSON.parse(text))) === JSON.stringify(read)
    },
  )
  fc.assert(law, { seed, numRuns: 2000 })
})
