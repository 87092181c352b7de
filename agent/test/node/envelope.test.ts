import fc from 'fast-check'
import t from 'tap'
import { DecodeError } from '../../src/lib/bytes.ts'
import { decodeEnvelope, encodeEnvelope } from '../../src/node/envelope.ts'

t.test('what the log carries of a command is read as it was written', async () => {
  const time = fc.oneof(fc.nat(), fc.maxSafeNat(), fc.constantFrom(0, 2 ** 32, 2 ** 53 - 1))
  const idempotency = fc.option(
    fc.record({
      key: fc.stringMatching(/^[!-~]{1,255}$/),
      requestHash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    }),
  )
  const command = fc.uint8Array({ maxLength: 40 })
  fc.assert(
    fc.property(time, idempotency, command, (timeMs, idempotency, command) => {
      const found = decodeEnvelope(Buffer.from(encodeEnvelope({ timeMs, idempotency, command })))
      return (
        found.timeMs === timeMs &&
        Buffer.compare(found.command, command) === 0 &&
        found.idempotency?.key === idempotency?.key &&
        Buffer.compare(
          found.idempotency?.requestHash ?? new Uint8Array(0),
          idempotency?.requestHash ?? new Uint8Array(0),
        ) === 0
      )
    }),
  )
})

t.test('an envelope that is cut short, of another version, or of no time is refused', async t => {
  const whole = encodeEnvelope({ timeMs: 7, idempotency: null, command: new Uint8Array(0) })
  t.equal(decodeEnvelope(whole).command.length, 0)
  for (let length = 0; length < whole.length; length++) {
    t.throws(() => decodeEnvelope(whole.subarray(0, length)), DecodeError, `${length} bytes`)
  }
  const changed = (at: number, bytes: Uint8Array): Uint8Array => {
    const copy = whole.slice()
    copy.set(bytes, at)
    return copy
  }
  t.throws(() => decodeEnvelope(changed(0, Uint8Array.of(2))), DecodeError)
  for (const time of [-1, 0.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY]) {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setFloat64(0, time, true)
    t.throws(() => decodeEnvelope(changed(2, bytes)), DecodeError, `${time}`)
  }
})
