/** Tables for slicing-by-8: `tables[k]` advances the checksum of a byte over k more zero bytes. */
const tables: readonly Uint32Array[] = makeTables()

function makeTables(): Uint32Array[] {
  const first = new Uint32Array(256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    first[byte] = crc >>> 0
  }
  const all = [first]
  for (let slice = 1; slice < 8; slice++) {
    const previous = all[slice - 1] as Uint32Array
    const table = new Uint32Array(256)
    for (let byte = 0; byte < 256; byte++) {
      const crc = previous[byte] as number
      table[byte] = (crc >>> 8) ^ (first[crc & 0xff] as number)
    }
    all.push(table)
  }
  return all
}

const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as unknown as readonly [
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
]

/**
 * CRC-32C (Castagnoli), as in RFC 3720 appendix B.4: finds every burst of up to 32 bits.
 * @param start first byte, inclusive
 * @param end last byte, exclusive
 */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length): number {
  let crc = -1
  let at = start
  // Signed, and without a function of its own: anything else is an object for each call, of which there are many.
  for (; at + 8 <= end; at += 8) {
    crc ^=
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)
    crc =
      (t7[crc & 0xff] as number) ^
      (t6[(crc >>> 8) & 0xff] as number) ^
      (t5[(crc >>> 16) & 0xff] as number) ^
      (t4[crc >>> 24] as number) ^
      (t3[bytes[at + 4] as number] as number) ^
      (t2[bytes[at + 5] as number] as number) ^
      (t1[bytes[at + 6] as number] as number) ^
      (t0[bytes[at + 7] as number] as number)
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ (t0[(crc ^ (bytes[at] as number)) & 0xff] as number)
  return ~crc >>> 0
}
