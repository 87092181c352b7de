import { ByteReader, ByteWriter, DecodeError } from '../../lib/bytes.ts'

/** What clients may ask to be changed. Keys and values are bytes. */
export type LevelCommand =
  | { readonly kind: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: 'delete'; readonly key: Uint8Array }

export type LevelQuery =
  | { readonly kind: 'get'; readonly key: Uint8Array }
  /** Keys that begin with `prefix` and are above `after`, in order. */
  | {
      readonly kind: 'list'
      readonly prefix: Uint8Array
      readonly after: Uint8Array
      readonly limit: number
    }

/** What one key holds. */
export interface LevelRow {
  readonly value: Uint8Array
  /** of the entries that made the key, and that last changed it */
  readonly createIndex: number
  readonly modifyIndex: number
}

export interface ListedKey extends Omit<LevelRow, 'value'> {
  readonly key: Uint8Array
  readonly valueBytes: number
}

export const KEY_BYTES_MAX = 512
export const VALUE_BYTES_MAX = 512 * 1024
export const LIST_MAX = 1000

const VERSION = 1
const PUT = 1
const DELETE = 2
const GET = 1
const LIST = 2

export function encodeCommand(command: LevelCommand): Uint8Array {
  const writer = new ByteWriter(64 + command.key.length).u8(VERSION)
  if (command.kind === 'delete') return writer.u8(DELETE).bytes(command.key).view()
  return writer.u8(PUT).bytes(command.key).bytes(command.value).view()
}

/** @throws DecodeError */
export function decodeCommand(bytes: Uint8Array): LevelCommand {
  const reader = new ByteReader(bytes)
  reader.expect(VERSION, 'a command of version')
  const kind = reader.u8()
  if (kind !== PUT && kind !== DELETE) throw new DecodeError(`a command of kind ${kind}`)
  const key = reader.bytes()
  if (key.length === 0 || key.length > KEY_BYTES_MAX) throw new DecodeError('the length of a key')
  const value = kind === PUT ? reader.bytes() : null
  reader.end()
  if (value === null) return { kind: 'delete', key }
  if (value.length > VALUE_BYTES_MAX) throw new DecodeError('the length of a value')
  return { kind: 'put', key, value }
}

export function encodeQuery(query: LevelQuery): Uint8Array {
  const writer = new ByteWriter()
  if (query.kind === 'get') return writer.u8(GET).bytes(query.key).view()
  return writer.u8(LIST).bytes(query.prefix).bytes(query.after).u32(query.limit).view()
}

/** @throws DecodeError */
export function decodeQuery(bytes: Uint8Array): LevelQuery {
  const reader = new ByteReader(bytes)
  if (reader.u8() === GET) return { kind: 'get', key: reader.bytes() }
  const [prefix, after] = [reader.bytes(), reader.bytes()]
  return { kind: 'list', prefix, after, limit: Math.min(reader.u32(), LIST_MAX) }
}

/** Nothing: there is no such key. */
export function encodeRow(row: LevelRow | null): Uint8Array {
  if (row === null) return new Uint8Array(0)
  const writer = new ByteWriter(32 + row.value.length)
  return writer.f64(row.createIndex).f64(row.modifyIndex).raw(row.value).view()
}

/** @throws DecodeError */
export function decodeRow(bytes: Uint8Array): LevelRow | null {
  if (bytes.length === 0) return null
  const reader = new ByteReader(bytes)
  const [createIndex, modifyIndex] = [reader.f64(), reader.f64()]
  return { createIndex, modifyIndex, value: reader.raw(reader.remaining) }
}

export function encodeKeys(keys: readonly ListedKey[]): Uint8Array {
  const writer = new ByteWriter()
  for (const { key, createIndex, modifyIndex, valueBytes } of keys) {
    writer.bytes(key).f64(createIndex).f64(modifyIndex).u32(valueBytes)
  }
  return writer.view()
}

/** @throws DecodeError */
export function decodeKeys(bytes: Uint8Array): ListedKey[] {
  const reader = new ByteReader(bytes)
  const keys: ListedKey[] = []
  while (reader.remaining > 0) {
    const key = reader.bytes()
    const [createIndex, modifyIndex] = [reader.f64(), reader.f64()]
    keys.push({ key, createIndex, modifyIndex, valueBytes: reader.u32() })
  }
  return keys
}
