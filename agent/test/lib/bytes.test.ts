import fc from 'fast-check'
import t from 'tap'
import { ByteReader, ByteWriter, DecodeError } from '../../src/lib/bytes.ts'

t.test('what was written is read back, whatever the sizes', async () => {
  const parts = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('bytes' as const), value: fc.uint8Array({ maxLength: 600 }) }),
      fc.record({ kind: fc.constant('f64' as const), value: fc.maxSafeNat() }),
      fc.record({ kind: fc.constant('ascii' as const), value: fc.stringMatching(/^[!-~]{0,64}$/) }),
    ),
  )
  fc.assert(
    fc.property(parts, all => {
      const writer = new ByteWriter(1)
      for (const part of all) {
        if (part.kind === 'bytes') writer.bytes(part.value)
        else if (part.kind === 'f64') writer.f64(part.value)
        else writer.ascii(part.value)
      }
      const reader = new ByteReader(writer.view())
      for (const part of all) {
        const read =
          part.kind === 'bytes'
            ? Buffer.compare(reader.bytes(), part.value) === 0
            : (part.kind === 'f64' ? reader.f64() : reader.ascii()) === part.value
        if (!read) return false
      }
      reader.end()
      return true
    }),
  )
})

t.test(
  'bytes that are cut short, too long or no counts are refused, never read beyond the end',
  async t => {
    const whole = new ByteWriter().bytes(new Uint8Array(10)).view()
    for (let length = 0; length < whole.length; length++) {
      t.throws(() => new ByteReader(whole.subarray(0, length)).bytes(), DecodeError)
    }
    t.throws(() => new ByteReader(new Uint8Array(1)).end(), DecodeError)
    const number = (value: number) => {
      const bytes = new Uint8Array(8)
      new DataView(bytes.buffer).setFloat64(0, value, true)
      return bytes
    }
    for (const value of [-1, 0.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY]) {
      t.throws(() => new ByteReader(number(value)).f64(), DecodeError, `${value}`)
    }
  },
)
