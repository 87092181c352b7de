import { ByteReader, type ByteWriter, DecodeError } from '../../lib/bytes.ts'
import type { Change, EntryChanges } from './change.ts'
import { type Lifetime, readExpiry, writeExpiry } from './expiry.ts'
import { readPlainSet } from './plain-set.ts'
import type { Standing } from './row.ts'

/**
 * What an entry is, behind its index: its changes one by one, with or without one of sessions; or the command
 * itself of a plain `set` of one key, behind what the key was made and locked by.
 */
export const ENTRY = { changes: 0, sessions: 1, set: 2, setLocked: 3 } as const
/** What became of a key: most are plain, and need no more than their value and where they came from. */
const KIND = { gone: 0, plain: 1, whole: 2 } as const

/** No less than what an entry, a change or a lifetime takes beside its texts and byte strings. */
const FIXED_BYTES = 64
/** of one UTF-16 code unit in UTF-8 */
const TEXT_BYTES_MAX = 3

const UNLOCKED = { lockIndex: 0, session: '' } as const

export function writeEntry(
  writer: ByteWriter,
  { index, changes, sessions, lifetimes }: EntryChanges,
): void {
  writer.f64(index).u8(sessions ? ENTRY.sessions : ENTRY.changes)
  writer.u32(changes.length)
  for (const change of changes) writeChange(writer, change)
  writer.u32(lifetimes.length)
  for (const lifetime of lifetimes) {
    writeExpiry(writer, lifetime)
    writer.f64(lifetime.lifetimeMs)
  }
}

/** Room that `writeEntry` needs at most, bytes. */
export function entryBytesMax({ changes, lifetimes }: EntryChanges): number {
  let bytes = FIXED_BYTES * (1 + changes.length + lifetimes.length)
  for (const { id } of lifetimes) bytes += id.length
  for (const { key, row } of changes) {
    bytes += key.length
    if (row === null) continue
    bytes += row.value.length + TEXT_BYTES_MAX * (row.session.length + row.contentType.length)
  }
  return bytes
}

/** A plain `set` of one key; `standing` is what it left as it was. */
export function writeSet(
  writer: ByteWriter,
  index: number,
  command: Uint8Array,
  { createIndex, lockIndex, session }: Standing,
): void {
  const unlocked = lockIndex === 0 && session === ''
  writer
    .f64(index)
    .u8(unlocked ? ENTRY.set : ENTRY.setLocked)
    .f64(createIndex)
  if (!unlocked) writer.f64(lockIndex).bytes(Buffer.from(session))
  writer.bytes(command)
}

/** Room that `writeSet` needs at most, bytes. */
export function setBytesMax(command: Uint8Array, { session }: Standing): number {
  return FIXED_BYTES + TEXT_BYTES_MAX * session.length + command.length
}

/** Entries, one behind the other; nothing says how many. @throws DecodeError */
export function decodeChanges(bytes: Uint8Array): EntryChanges[] {
  const reader = new ByteReader(bytes)
  const entries: EntryChanges[] = []
  while (reader.remaining > 0) entries.push(readEntry(reader))
  return entries
}

/** Keys and values are views. @throws DecodeError */
export function readEntry(reader: ByteReader): EntryChanges {
  const index = reader.f64()
  const kind = reader.u8()
  if (kind === ENTRY.set || kind === ENTRY.setLocked) {
    const changes = [readSet(reader, index, kind === ENTRY.setLocked)]
    return { index, changes, sessions: false, lifetimes: [] }
  }
  if (kind !== ENTRY.changes && kind !== ENTRY.sessions) {
    throw new DecodeError(`an entry of kind ${kind}`)
  }
  const changes = readMany(reader, () => readChange(reader, index))
  const lifetimes = readMany(reader, (): Lifetime => {
    const expiry = readExpiry(reader)
    return { ...expiry, lifetimeMs: reader.f64() }
  })
  return { index, changes, sessions: kind === ENTRY.sessions, lifetimes }
}

function readMany<Item>(reader: ByteReader, read: () => Item): Item[] {
  const count = reader.u32()
  const items: Item[] = []
  while (items.length < count) items.push(read())
  return items
}

function writeChange(writer: ByteWriter, { key, row }: Change): void {
  writer.bytes(key)
  if (row === null) {
    writer.u8(KIND.gone)
    return
  }
  const { value, createIndex, lockIndex, flags, session, contentType } = row
  const plain = lockIndex === 0 && flags === 0n && session === '' && contentType === ''
  writer
    .u8(plain ? KIND.plain : KIND.whole)
    .bytes(value)
    .f64(createIndex)
  if (plain) return
  writer.f64(lockIndex)
  for (const text of [String(flags), session, contentType]) writer.bytes(Buffer.from(text))
}

/** Whatever changes a key gives it the entry's index. */
function readChange(reader: ByteReader, modifyIndex: number): Change {
  const key = reader.bytes()
  const kind = reader.u8()
  if (kind === KIND.gone) return { key, value: null, flags: 0n, row: null }
  if (kind !== KIND.plain && kind !== KIND.whole) throw new DecodeError(`a change of kind ${kind}`)
  const [value, createIndex] = [reader.bytes(), reader.f64()]
  const common = { value, createIndex, modifyIndex }
  if (kind === KIND.plain) {
    const row = { ...common, lockIndex: 0, flags: 0n, session: '', contentType: '' }
    return { key, value, flags: 0n, row }
  }
  const lockIndex = reader.f64()
  const [flags, session, contentType] = [readFlags(reader), readText(reader), readText(reader)]
  return { key, value, flags, row: { ...common, lockIndex, flags, session, contentType } }
}

function readSet(reader: ByteReader, modifyIndex: number, locked: boolean): Change {
  const createIndex = reader.f64()
  const { lockIndex, session } = locked
    ? { lockIndex: reader.f64(), session: readText(reader) }
    : UNLOCKED
  const set = readPlainSet(reader.bytes())
  if (set === null) throw new DecodeError('a change by another command')
  const { key, value } = set
  const row = { value, createIndex, modifyIndex, lockIndex, flags: 0n, session, contentType: '' }
  return { key, value, flags: 0n, row }
}

function readFlags(reader: ByteReader): bigint {
  const text = readText(reader)
  if (!/^[0-9]{1,20}$/.test(text)) throw new DecodeError('flags that are no number')
  return BigInt(text)
}

function readText(reader: ByteReader): string {
  return Buffer.from(reader.bytes()).toString()
}
