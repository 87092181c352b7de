import { crc32 } from 'node:zlib'
import type { PageSums } from './page-sum.ts'
import type { WalName } from './wal-scan.ts'

/** All pages as of some moment, then what WALs changed since, in their order. */
export interface SumsImage {
  readonly pageBytes: number
  readonly sums: PageSums
  readonly records: readonly SumsRecord[]
  /** Bytes follow that are no record: an append was cut short. */
  readonly torn: boolean
}

/** What the first `frames` frames of one WAL make of the pages. */
export interface SumsRecord {
  readonly wal: WalName
  readonly frames: number
  /** size of the database */
  readonly pages: number
  /** of those that changed since the record before */
  readonly changed: ReadonlyMap<number, number>
}

const MAGIC = 'RNSUMS1\n'
const HEADER_BYTES = 16
const RECORD_HEADER_BYTES = 8
const RECORD_BYTES = 20

/** Header and all pages; records may follow. */
export function encodeSums(pageBytes: number, sums: PageSums): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + RECORD_HEADER_BYTES + sums.length * 4)
  bytes.write(MAGIC, 'latin1')
  bytes.writeUInt32LE(pageBytes, 8)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 12)), 12)
  for (const [page, sum] of sums.entries()) {
    bytes.writeUInt32LE(sum, HEADER_BYTES + RECORD_HEADER_BYTES + page * 4)
  }
  return frame(bytes, HEADER_BYTES)
}

export function encodeRecord({ wal, frames, pages, changed }: SumsRecord): Buffer {
  const bytes = Buffer.alloc(RECORD_HEADER_BYTES + RECORD_BYTES + changed.size * 8)
  let at = RECORD_HEADER_BYTES
  bytes.write(wal, at, 'hex')
  at = bytes.writeUInt32LE(frames, at + 8)
  at = bytes.writeUInt32LE(pages, at)
  at = bytes.writeUInt32LE(changed.size, at)
  for (const [page, sum] of changed) {
    at = bytes.writeUInt32LE(page, at)
    at = bytes.writeUInt32LE(sum, at)
  }
  return frame(bytes, 0)
}

/** What `encodeSums` and `encodeRecord` wrote; null when the first part is damaged. */
export function decodeSums(bytes: Buffer): SumsImage | null {
  if (bytes.length < HEADER_BYTES || bytes.toString('latin1', 0, 8) !== MAGIC) return null
  if (crc32(bytes.subarray(0, 12)) !== bytes.readUInt32LE(12)) return null
  const base = unframe(bytes, HEADER_BYTES)
  if (base === null) return null
  const sums = new Uint32Array(base.length / 4)
  for (const page of sums.keys()) sums[page] = base.readUInt32LE(page * 4)
  const records: SumsRecord[] = []
  let at = HEADER_BYTES + RECORD_HEADER_BYTES + base.length
  while (at < bytes.length) {
    const body = unframe(bytes, at)
    if (body === null) break
    records.push(decodeRecord(body))
    at += RECORD_HEADER_BYTES + body.length
  }
  return { pageBytes: bytes.readUInt32LE(8), sums, records, torn: at < bytes.length }
}

function decodeRecord(body: Buffer): SumsRecord {
  const changed = new Map<number, number>()
  for (let at = RECORD_BYTES; at < body.length; at += 8) {
    changed.set(body.readUInt32LE(at), body.readUInt32LE(at + 4))
  }
  return {
    wal: body.toString('hex', 0, 8),
    frames: body.readUInt32LE(8),
    pages: body.readUInt32LE(12),
    changed,
  }
}

/** Writes length and checksum of all that follows before it. */
function frame(bytes: Buffer, at: number): Buffer {
  const body = bytes.subarray(at + RECORD_HEADER_BYTES)
  bytes.writeUInt32LE(body.length, at)
  bytes.writeUInt32LE(crc32(body), at + 4)
  return bytes
}

function unframe(bytes: Buffer, at: number): Buffer | null {
  if (at + RECORD_HEADER_BYTES > bytes.length) return null
  const from = at + RECORD_HEADER_BYTES
  const length = bytes.readUInt32LE(at)
  if (length < 4 || from + length > bytes.length) return null
  const body = bytes.subarray(from, from + length)
  return crc32(body) === bytes.readUInt32LE(at + 4) ? body : null
}
