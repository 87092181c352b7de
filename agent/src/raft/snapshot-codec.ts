import { type ByteReader, type ByteWriter, DecodeError } from '../lib/bytes.ts'
import { asLogIndex, asTerm, type SnapshotHeader } from './types.ts'

/**
 * Index f64, term f64, size f64, then id and SHA-256 as ASCII, then the configuration with its length.
 * Used by log and transport alike.
 */
export function encodeSnapshotHeader(writer: ByteWriter, header: SnapshotHeader): void {
  const { position, configuration, id, bytes, sha256 } = header
  writer.f64(position.index).f64(position.term).f64(bytes).ascii(id).ascii(sha256)
  writer.bytes(configuration)
}

/**
 * The configuration is a view of the input.
 * @throws DecodeError
 */
export function decodeSnapshotHeader(reader: ByteReader): SnapshotHeader {
  const position = { index: asLogIndex(reader.f64() + 0), term: asTerm(reader.f64() + 0) }
  const bytes = reader.f64() + 0
  const id = reader.ascii()
  const sha256 = reader.ascii()
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw new DecodeError('not a SHA-256 in hexadecimal')
  return { position, configuration: reader.bytes(), id, bytes, sha256 }
}
