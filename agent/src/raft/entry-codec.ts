import { type ByteReader, type ByteWriter, DecodeError } from '../lib/bytes.ts'
import { asLogIndex, asTerm, type Entry } from './types.ts'

/** Bytes that an entry takes beside its payload, on disk and on the wire. */
export const ENTRY_OVERHEAD_BYTES = 21

/** On disk and on the wire for ever: a place is never used again for something else. */
const KINDS = [
  'command',
  'no-op',
  'configuration',
  'check',
] as const satisfies readonly Entry['kind'][]

/** Entry: index f64, term f64, kind u8, payload length u32, payload. Used by log and transport alike. */
export function encodeEntry(writer: ByteWriter, entry: Entry): void {
  writer.f64(entry.index).f64(entry.term).u8(KINDS.indexOf(entry.kind)).bytes(entry.payload)
}

/**
 * The payload is a view of the input.
 * @throws DecodeError
 */
export function decodeEntry(reader: ByteReader): Entry {
  const index = asLogIndex(reader.f64())
  const term = asTerm(reader.f64())
  const kind = KINDS[reader.u8()]
  if (kind === undefined) throw new DecodeError('unknown kind of entry')
  return { index, term, kind, payload: reader.bytes() }
}
