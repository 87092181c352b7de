import { deepStrictEqual } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import { DecodeError } from '../../src/lib/bytes.ts'
import { decodeOutcome, encodeOutcome, type KvOutcome } from '../../src/machine/kv/answer.ts'
import { decodeCommand, encodeCommand, type KvCommand } from '../../src/machine/kv/command.ts'
import { VERBS } from '../../src/machine/kv/operation.ts'
import { drawSeed } from './entries.ts'

const bytes = fc.uint8Array({ maxLength: 600 })
const plain = { noNullPrototype: true }
const pair = fc.record({ key: bytes, value: bytes }, plain)
const index = fc.nat({ max: 2 ** 31 - 1 }).map(n => n * 4_000_000)
const id = fc.string({ maxLength: 40 }).filter(text => /^[!-~]*$/.test(text))
const step = fc.record(
  {
    verb: fc.constantFrom(...VERBS),
    key: bytes,
    value: bytes,
    flags: fc.bigInt(0n, 2n ** 64n - 1n),
    index,
    session: id,
    ttlMs: index,
    contentType: fc.constantFrom('', 'text/plain; charset=utf-8', 'x/\u00ff'),
  },
  plain,
)
const name = fc.string({ unit: 'grapheme' }).filter(text => !/\p{Surrogate}/u.test(text))
const session = fc.record(
  {
    id,
    name,
    node: name,
    behavior: fc.constantFrom('release' as const, 'delete' as const),
    ttlMs: index,
    lockDelayMs: index,
  },
  plain,
)
const what = fc.constantFrom('session' as const, 'key' as const, 'lock-delay' as const)
const expiry = fc.record({ what, id: bytes, index }, plain)
const command: fc.Arbitrary<KvCommand> = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), pairs: fc.array(pair, { maxLength: 5 }) }, plain),
  fc.record({ kind: fc.constant('delete' as const), key: bytes }, plain),
  fc.record(
    { kind: fc.constant('transaction' as const), operations: fc.array(step, { maxLength: 4 }) },
    plain,
  ),
  fc.record({ kind: fc.constant('create-session' as const), session }, plain),
  fc.record({ kind: fc.constant('renew-session' as const), id }, plain),
  fc.record({ kind: fc.constant('destroy-session' as const), id }, plain),
  fc.record({ kind: fc.constant('expire' as const), expiries: fc.array(expiry) }, plain),
)
const row = fc.record(
  {
    key: bytes,
    value: fc.option(bytes),
    createIndex: index,
    modifyIndex: index,
    lockIndex: index,
    flags: fc.bigInt(0n, 2n ** 64n - 1n),
    session: id,
  },
  plain,
)
const reasons = ['stale-index', 'locked', 'lock-delay', 'not-locked', 'no-key'] as const
const failure = fc.record({ step: fc.nat(127), reason: fc.constantFrom(...reasons) }, plain)
const outcome: fc.Arbitrary<KvOutcome> = fc.oneof(
  fc.record({ kind: fc.constant('rows' as const), rows: fc.array(row) }, plain),
  fc.record({ kind: fc.constant('failures' as const), failures: fc.array(failure) }, plain),
)

t.test('decode(encode(x)) is x', async t => {
  const property = fc.property(command, one => {
    deepStrictEqual(decodeCommand(encodeCommand(one)), one)
  })
  fc.assert(property, { seed: drawSeed(t) })
})

t.test('the same of what the machine answers', async t => {
  const property = fc.property(outcome, one => {
    deepStrictEqual(decodeOutcome(encodeOutcome(one)), one)
  })
  fc.assert(property, { seed: drawSeed(t) })
})

t.test('commands of version 1 are written as they were in the first release', async t => {
  const pair = { key: Buffer.from('k'), value: Buffer.from('v') }
  const set = Uint8Array.of(1, 1, 1, 0, 0, 0, 107, 1, 0, 0, 0, 118)
  t.strictSame(encodeCommand({ kind: 'set', pairs: [pair] }), set)
  const remove = Uint8Array.of(1, 2, 1, 0, 0, 0, 107)
  t.strictSame(encodeCommand({ kind: 'delete', key: pair.key }), remove)
})

t.test('a command of an unknown version or kind, cut short or too long is refused', async t => {
  const whole = encodeCommand({ kind: 'delete', key: new Uint8Array(3) })
  for (let length = 0; length < whole.length; length++) {
    t.throws(() => decodeCommand(whole.subarray(0, length)), DecodeError)
  }
  t.throws(() => decodeCommand(Buffer.concat([whole, whole])), DecodeError, 'too long')
  t.throws(() => decodeCommand(Uint8Array.of(0, 1)), DecodeError, 'version')
  t.throws(() => decodeCommand(Uint8Array.of(3, 1)), DecodeError, 'version')
  t.throws(() => decodeCommand(Uint8Array.of(2, 1)), DecodeError, 'a kind of version 1')
  t.throws(() => decodeCommand(Uint8Array.of(2, 8)), DecodeError, 'kind')
  t.throws(() => decodeCommand(Uint8Array.of(1, 0)), DecodeError, 'kind')
  t.throws(() => decodeCommand(Uint8Array.of(1, 3)), DecodeError, 'kind')
})

t.test('whatever the bytes, decoding gives a command or a DecodeError', async t => {
  const property = fc.property(fc.uint8Array({ maxLength: 40 }), input => {
    const decoded = tryDecode(input)
    return decoded === null || Buffer.from(encodeCommand(decoded)).equals(input)
  })
  fc.assert(property, { seed: drawSeed(t), numRuns: 2000 })
})

function tryDecode(input: Uint8Array): KvCommand | null {
  try {
    return decodeCommand(input)
  } catch (error) {
    if (error instanceof DecodeError) return null
    throw error
  }
}
