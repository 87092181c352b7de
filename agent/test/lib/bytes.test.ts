import fc from 'fast-check'
import t from 'tap'
import { ByteReader, ByteWriter, DecodeError } from '../../src/lib/bytes.ts'

type Part =
  | { kind: 'bytes'; value: Uint8Array }
  | { kind: 'f64'; value: number }
  | { kind: 'ascii'; value: string }

const part: fc.Arbitrary<Part> = fc.oneof(
  fc.record({ kind: fc.constant('bytes' as const), value: fc.uint8Array({ maxLength: 600 }) }),
  fc.record({ kind: fc.constant('f64' as const), value: fc.maxSafeNat() }),
  fc.record({ kind: fc.constant('ascii' as const), value: fc.stringMatching(/^[!-~]{0,64}$/) }),
)

function write(writer: ByteWriter, { kind, value }: Part): void {
  if (kind === 'bytes') writer.bytes(value)
  else if (kind === 'f64') writer.f64(value)
  else writer.ascii(value)
}

function readsBack(reader: ByteReader, { kind, value }: Part): boolean {
  if (kind === 'bytes') return Buffer.compare(reader.bytes(), value) === 0
  return (kind === 'f64' ? reader.f64() : reader.ascii()) === value
}

t.test('what was written is read back, whatever the sizes', async () => {
  fc.assert(
    fc.property(fc.array(part), parts => {
      const writer = new ByteWriter(1)
      for (const each of parts) write(writer, each)
      const reader = new ByteReader(writer.view())
      const all = parts.every(each => readsBack(reader, each))
      reader.end()
      return all
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
