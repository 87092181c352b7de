import { type ByteReader, type ByteWriter, DecodeError } from '../../lib/bytes.ts'

/** What lives for a while only. `lock-delay`: nobody may lock this key yet. */
export type Mortal = 'session' | 'key' | 'lock-delay'

/** Something whose lifetime has begun, as of the entry that began it anew the last time. */
export interface Expiry {
  readonly what: Mortal
  /** the session's id in ASCII, or the key */
  readonly id: Uint8Array
  /** A later entry renewed it if this is not its index any more. */
  readonly index: number
}

export interface Lifetime extends Expiry {
  readonly lifetimeMs: number
}

const MORTALS: readonly Mortal[] = ['session', 'key', 'lock-delay']

export function writeExpiry(writer: ByteWriter, { what, id, index }: Expiry): void {
  writer.u8(MORTALS.indexOf(what)).bytes(id).f64(index)
}

/** @throws DecodeError */
export function readExpiry(reader: ByteReader): Expiry {
  const what = MORTALS[reader.u8()]
  if (what === undefined) throw new DecodeError('an expiry of an unknown kind')
  return { what, id: reader.bytes(), index: reader.f64() }
}
