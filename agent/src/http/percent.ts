/** The bytes of printable ASCII with `%XX` escapes, decoded once; null where an escape is malformed. */
export function percentDecode(encoded: string): Buffer | null {
  if (!encoded.includes('%')) return Buffer.from(encoded, 'latin1')
  const bytes = Buffer.alloc(encoded.length)
  let length = 0
  for (let at = 0; at < encoded.length; at++) {
    let byte = encoded.charCodeAt(at)
    if (byte === 0x25) {
      byte = hexDigit(encoded.charCodeAt(at + 1)) * 16 + hexDigit(encoded.charCodeAt(at + 2))
      if (Number.isNaN(byte)) return null
      at += 2
    }
    bytes[length++] = byte
  }
  return bytes.subarray(0, length)
}

/** NaN when it is none, or beyond the end. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : Number.NaN
}
