import { ByteReader, ByteWriter, DecodeError } from '../../lib/bytes.ts'
import type { Change, EntryChanges } from './change.ts'
import { type Lifetime, readExpiry, writeExpiry } from './expiry.ts'

/** What became of a key: most are plain, and need no more than their value and where they came from. */
const KIND = { gone: 0, plain: 1, whole: 2 } as const

/** Entries, one behind the other; nothing says how many. */
export function encodeChanges(entries: readonly EntryChanges[]): Uint8Array {
  const writer = new ByteWriter(64 * 1024)
  for (const { index, changes, sessions, lifetimes } of entries) {
    writer.f64(index).u8(sessions ? 1 : 0)
    writer.u32(changes.length)
    for (const change of changes) writeChange(writer, change)
    writer.u32(lifetimes.length)
    for (const lifetime of lifetimes) {
      writeExpiry(writer, lifetime)
      writer.f64(lifetime.lifetimeMs)
    }
  }
  return writer.view()
}

/** @throws DecodeError */
export function decodeChanges(bytes: Uint8Array): EntryChanges[] {
  const reader = new ByteReader(bytes)
  const entries: EntryChanges[] = []
  while (reader.remaining > 0) entries.push(readEntry(reader))
  return entries
}

function readEntry(reader: ByteReader): EntryChanges {
  const index = reader.f64()
  const sessions = reader.u8() === 1
  const changes = readMany(reader, () => readChange(reader, index))
  const lifetimes = readMany(reader, (): Lifetime => {
    const expiry = readExpiry(reader)
    return { ...expiry, lifetimeMs: reader.f64() }
  })
  return { index, changes, sessions, lifetimes }
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

function readFlags(reader: ByteReader): bigint {
  const text = readText(reader)
  if (!/^[0-9]{1,20}$/.test(text)) throw new DecodeError('flags that are no number')
  return BigInt(text)
}

function readText(reader: ByteReader): string {
  return Buffer.from(reader.bytes()).toString()
}
