import { deepStrictEqual } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import { DecodeError } from '../../src/lib/bytes.ts'
import { decodeCommand, encodeCommand, type KvCommand } from '../../src/machine/kv/command.ts'
import { drawSeed } from './entries.ts'

const bytes = fc.uint8Array({ maxLength: 600 })
const plain = { noNullPrototype: true }
const pair = fc.record({ key: bytes, value: bytes }, plain)
const command: fc.Arbitrary<KvCommand> = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), pairs: fc.array(pair, { maxLength: 5 }) }, plain),
  fc.record({ kind: fc.constant('delete' as const), key: bytes }, plain),
)

t.test('decode(encode(x)) is x', async t => {
  const property = fc.property(command, one => {
    deepStrictEqual(decodeCommand(encodeCommand(one)), one)
  })
  fc.assert(property, { seed: drawSeed(t) })
})

t.test('a command of an unknown version or kind, cut short or too long is refused', async t => {
  const whole = encodeCommand({ kind: 'delete', key: new Uint8Array(3) })
  for (let length = 0; length < whole.length; length++) {
    t.throws(() => decodeCommand(whole.subarray(0, length)), DecodeError)
  }
  t.throws(() => decodeCommand(Buffer.concat([whole, whole])), DecodeError, 'too long')
  t.throws(() => decodeCommand(Uint8Array.of(0, 1)), DecodeError, 'version')
  t.throws(() => decodeCommand(Uint8Array.of(2, 1)), DecodeError, 'version')
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
