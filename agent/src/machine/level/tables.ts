/**
 * Checks LevelDB's tables before LevelDB reads them: it was built with assertions, and some damage that it meets in a
 * table ends the whole process instead of being an error. Formats: LevelDB's doc/table_format.md and
 * doc/log_format.md; the manifest's records are version edits (db/version_edit.cc).
 */

import { join } from 'node:path'
import { ByteReader, DecodeError } from '../../lib/bytes.ts'
import { crc32c } from '../../lib/crc32c.ts'
import { readIfThere } from '../../os/durable-file.ts'

const LOG_BLOCK_BYTES = 32 * 1024
const LOG_HEAD_BYTES = 7
const RECORD = { full: 1, first: 2, last: 4 }
/** What is more than one number. */
const EDIT = { comparator: 1, compactPointer: 5, deletedFile: 6, newFile: 7 }
const FOOTER_BYTES = 48
const MAGIC = Buffer.from('57fb808b247547db', 'hex')

interface Block {
  readonly offset: number
  readonly bytes: number
}

/**
 * Reads every table that the database consists of, once.
 * @throws DecodeError when a byte of one differs; all else is left to LevelDB, which says it
 */
export async function checkTables(directory: string): Promise<void> {
  const named = await readIfThere(join(directory, 'CURRENT'))
  const manifest = /^(MANIFEST-\d+)\n$/.exec(Buffer.from(named ?? []).toString('latin1'))?.[1]
  const edits = manifest === undefined ? null : await readIfThere(join(directory, manifest))
  for (const number of tablesIn(edits ?? new Uint8Array(0))) {
    const name = String(number).padStart(6, '0')
    const path = (suffix: string) => join(directory, `${name}.${suffix}`)
    const table = (await readIfThere(path('ldb'))) ?? (await readIfThere(path('sst')))
    if (table !== null)
      checkTable(`${name}.ldb`, Buffer.from(table.buffer, table.byteOffset, table.length))
  }
}

/** Numbers of the tables that count, as far as the manifest is whole. What a crash left is not among them. */
function tablesIn(manifest: Uint8Array): Set<number> {
  const tables = new Set<number>()
  try {
    for (const record of recordsOf(manifest)) applyEdit(tables, new ByteReader(record))
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
  }
  return tables
}

function* recordsOf(log: Uint8Array): Generator<Uint8Array> {
  let pieces: Uint8Array[] = []
  for (let at = 0; ; ) {
    const left = LOG_BLOCK_BYTES - (at % LOG_BLOCK_BYTES)
    if (left < LOG_HEAD_BYTES) at += left
    if (at + LOG_HEAD_BYTES > log.length) return
    const head = new ByteReader(log, at)
    const sum = head.u32()
    const length = head.u8() + 256 * head.u8()
    const kind = head.u8()
    const piece = head.raw(length)
    if (masked(crc32c(log, at + LOG_HEAD_BYTES - 1, head.offset)) !== sum) return
    at = head.offset
    if (kind === RECORD.full || kind === RECORD.first) pieces = []
    pieces.push(piece)
    if (kind === RECORD.full || kind === RECORD.last) yield Buffer.concat(pieces)
  }
}

function applyEdit(tables: Set<number>, edit: ByteReader): void {
  while (edit.remaining > 0) {
    const tag = varint(edit)
    if (tag === EDIT.comparator) slice(edit)
    else if (tag === EDIT.compactPointer) {
      varint(edit)
      slice(edit)
    } else if (tag === EDIT.deletedFile) {
      varint(edit)
      tables.delete(varint(edit))
    } else if (tag === EDIT.newFile) {
      varint(edit)
      tables.add(varint(edit))
      varint(edit)
      slice(edit)
      slice(edit)
    } else varint(edit)
  }
}

function checkTable(name: string, table: Buffer): void {
  try {
    const footer = table.subarray(Math.max(0, table.length - FOOTER_BYTES))
    if (!footer.subarray(-MAGIC.length).equals(MAGIC)) throw new DecodeError('its end is not one')
    const handles = new ByteReader(footer)
    for (const list of [blockIn(handles), blockIn(handles)]) {
      const content = checked(table, list)
      for (const value of valuesIn(content)) checked(table, blockIn(new ByteReader(value)))
    }
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    throw new DecodeError(`${name}: ${error.message}`, { cause: error })
  }
}

/** Its content; empty where that is compressed, as builds before this check had it: what it leads to is not checked. */
function checked(table: Buffer, { offset, bytes }: Block): Uint8Array {
  const end = offset + bytes
  // Kind of compression, then a checksum of all before it.
  const trailer = new ByteReader(table, Math.min(end, table.length))
  const compression = trailer.u8()
  if (masked(crc32c(table, offset, end + 1)) !== trailer.u32()) {
    throw new DecodeError(`the block at ${offset} is damaged`)
  }
  return compression === 0 ? table.subarray(offset, end) : new Uint8Array(0)
}

/** Of a block's entries, in their order. */
function* valuesIn(block: Uint8Array): Generator<Uint8Array> {
  if (block.length < 4) return
  const restarts = new ByteReader(block, block.length - 4).u32()
  const end = block.length - 4 - 4 * restarts
  for (const entries = new ByteReader(block); entries.offset < end; ) {
    varint(entries) // shared with the key before
    const keyBytes = varint(entries)
    const valueBytes = varint(entries)
    entries.raw(keyBytes)
    yield entries.raw(valueBytes)
  }
}

function blockIn(reader: ByteReader): Block {
  return { offset: varint(reader), bytes: varint(reader) }
}

function slice(reader: ByteReader): Uint8Array {
  return reader.raw(varint(reader))
}

/** Seven bits a byte, the lowest first. */
function varint(reader: ByteReader): number {
  let value = 0
  for (let factor = 1; ; factor *= 128) {
    const byte = reader.u8()
    value += (byte & 0x7f) * factor
    if (!Number.isSafeInteger(value)) throw new DecodeError('a number that nothing has')
    if (byte < 0x80) return value
  }
}

/** As LevelDB stores a checksum of bytes that may hold checksums. */
function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}
