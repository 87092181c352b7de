import { ByteReader, ByteWriter, DecodeError } from '../lib/bytes.ts'
import { crc32c } from '../lib/crc32c.ts'
import { decodeSnapshotHeader, encodeSnapshotHeader } from '../raft/snapshot-codec.ts'
import type { SnapshotHeader } from '../raft/types.ts'
import type { FileSums } from './snapshot-file.ts'

const MAGIC = 0x314e5352 // "RSN1"
const CHECKSUM_BYTES = 4

/**
 * Stands beside a snapshot's file: what it is of, and how to know each piece of it. The file of a received
 * one is no longer what its header tells the bytes and the SHA-256 of: the receiver's identity has taken
 * the place of the sender's.
 */
export interface SnapshotRecord {
  /** As it was built, or received. */
  readonly header: SnapshotHeader
  /** Of the file as it lies here, as is the next one. */
  readonly sums: FileSums
  readonly sha256: string
}

/** What others are told of a file as it lies here. */
export function ownHeader({ header, sums, sha256 }: SnapshotRecord): SnapshotHeader {
  return { ...header, bytes: sums.bytes, sha256 }
}

/** Magic u32, header, SHA-256, bytes f64, pieces u32, then the CRC-32C of each, and one over all that. */
export function encodeSnapshotRecord({ header, sums, sha256 }: SnapshotRecord): Uint8Array {
  const writer = new ByteWriter(512 + header.configuration.length + 4 * sums.pieces.length)
  encodeSnapshotHeader(writer.u32(MAGIC), header)
  writer.ascii(sha256).f64(sums.bytes).u32(sums.pieces.length)
  for (const piece of sums.pieces) writer.u32(piece)
  return writer.u32(crc32c(writer.view(), 0, writer.length)).view()
}

/** @throws DecodeError whichever byte is another than was written */
export function decodeSnapshotRecord(bytes: Uint8Array): SnapshotRecord {
  const end = bytes.length - CHECKSUM_BYTES
  if (end < 0) throw new DecodeError('too short')
  if (new ByteReader(bytes, end).u32() !== crc32c(bytes, 0, end)) {
    throw new DecodeError('its checksum does not match')
  }
  const reader = new ByteReader(bytes.subarray(0, end))
  if (reader.u32() !== MAGIC) throw new DecodeError('no record of a snapshot')
  const header = decodeSnapshotHeader(reader)
  const sha256 = reader.ascii()
  const length = reader.f64()
  const count = reader.u32()
  const pieces: number[] = []
  while (pieces.length < count) pieces.push(reader.u32())
  reader.end()
  return { header, sums: { bytes: length, pieces }, sha256 }
}
