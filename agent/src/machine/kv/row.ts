import { crc32c } from '../../lib/crc32c.ts'

/** What one key holds. */
export interface KvRow {
  readonly value: Uint8Array
  /** Index of the entry that made the key. */
  readonly createIndex: number
  /** Index of the entry that last changed it: grows with every holder of a lock, so it fences them off. */
  readonly modifyIndex: number
  /** How often it was locked. */
  readonly lockIndex: number
  readonly flags: bigint
  /** Who holds its lock; '' nobody. */
  readonly session: string
  /** What its writer called the value; '' nothing. */
  readonly contentType: string
}

export interface ListedRow extends KvRow {
  readonly key: Uint8Array
}

/** A row of `kv`, whole. */
export interface KeptRow extends ListedRow {
  /** 0: it stays until it is deleted. */
  readonly ttlMs: number
}

/** What a plain write leaves as it was. */
export type Standing = Pick<KvRow, 'createIndex' | 'lockIndex' | 'session'>

/** SQLite checks the shape of its pages, not the bytes of a value. */
export function checksumOf(key: Uint8Array, value: Uint8Array): number {
  return crc32c(key) ^ crc32c(value)
}

/** A key as text: one character a byte. */
export function latin1(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
}
