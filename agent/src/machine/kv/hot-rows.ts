import type { ChangePart } from './change-part.ts'
import type { PlainRows } from './plain-rows.ts'
import { keyAt, valueAt } from './plain-set.ts'
import type { KeptRow, Standing } from './row.ts'

/** Keys of one generation: what was used since the last one is remembered, and the generation before it. */
const GENERATION_KEYS = 16_384
/** Keys that wait to be written: so many may yet change again, and a commit has no more to write than them. */
const UNWRITTEN_KEYS_MAX = 512
/** Beyond it so many are written at once, the oldest: a stretch of a fraction of a millisecond. */
const SLICE_KEYS = 64
const UNWRITTEN_BYTES_MAX = 1024 * 1024

/** A key that was put plainly a short while ago. */
export interface Hot extends Standing {
  modifyIndex: number
  /** what holds its last command, while that is not in the table */
  bytes: Buffer | null
  commandAt: number
  commandLength: number
  readonly keyLength: number
}

/**
 * Plain values on their way into the table: the last one of a key is written, with others, before the transaction
 * is committed or anything but a key is asked for. What they leave as it was is remembered for the next ones.
 */
export class HotRows {
  readonly #table: PlainRows
  /** by key, one character a byte */
  #young = new Map<string, Hot>()
  #old = new Map<string, Hot>()
  #unwritten: Hot[] = []
  #unwrittenBytes = 0

  constructor(table: PlainRows) {
    this.#table = table
  }

  /** Whether the table lacks something. */
  get waiting(): boolean {
    return this.#unwritten.length > 0
  }

  /** Whether it is time to write all of it. */
  get full(): boolean {
    return this.#unwrittenBytes >= UNWRITTEN_BYTES_MAX || this.#young.size >= GENERATION_KEYS
  }

  /** Whether it is time to write a slice. */
  get many(): boolean {
    return this.#unwritten.length >= UNWRITTEN_KEYS_MAX + SLICE_KEYS
  }

  /**
   * What a plain `set` leaves as it was, as if it had been carried out: where there is no such key, it is made.
   * @param key one character a byte
   */
  standing(key: string, bytes: Uint8Array, index: number): Hot {
    const young = this.#young.get(key)
    if (young !== undefined) return young
    const hot = this.#old.get(key) ?? this.#read(bytes, index)
    this.#young.set(key, hot)
    return hot
  }

  /** The set is carried out; the last bytes of `part` are its command. */
  put(hot: Hot, index: number, { bytes, length }: ChangePart, commandLength: number): void {
    if (hot.bytes === null) this.#unwritten.push(hot)
    else this.#unwrittenBytes -= hot.commandLength
    hot.modifyIndex = index
    hot.bytes = bytes
    hot.commandAt = length - commandLength
    hot.commandLength = commandLength
    this.#unwrittenBytes += commandLength
  }

  /** What waits to be written of one key; null: the table has it, or there is none. */
  find(key: Uint8Array): KeptRow | null {
    if (!this.waiting) return null
    const name = latin1(key)
    const hot = this.#young.get(name)
    if (hot === undefined || hot.bytes === null) return null
    const { createIndex, modifyIndex, lockIndex, session } = hot
    const value = contentOf(hot, hot.bytes)
    const plain = { ttlMs: 0, contentType: '', flags: 0n }
    return { key, value, createIndex, modifyIndex, lockIndex, session, ...plain }
  }

  /** Writes what waits. After an error nothing of the transaction may stay. */
  write(): void {
    this.#write(this.#unwritten.length)
    if (this.#young.size < GENERATION_KEYS) return
    this.#old = this.#young
    this.#young = new Map()
  }

  /** The same for the oldest of it. */
  writeSlice(): void {
    this.#write(SLICE_KEYS)
  }

  /** The table is changed otherwise: of this key, null: of who knows which. Nothing waits. */
  forget(key: Uint8Array | null): void {
    if (key === null) this.clear()
    else if (this.#young.size > 0 || this.#old.size > 0) this.#forget(latin1(key))
  }

  /** What waits is lost, with the transaction that it would have been written in. */
  clear(): void {
    this.#young = new Map()
    this.#old = new Map()
    this.#unwritten = []
    this.#unwrittenBytes = 0
  }

  #write(keys: number): void {
    for (const hot of this.#unwritten.splice(0, keys)) {
      if (hot.bytes === null) continue
      const at = keyAt(hot.commandAt)
      const key = hot.bytes.subarray(at, at + hot.keyLength)
      const value = contentOf(hot, hot.bytes)
      this.#table.put(key, value, hot)
      hot.bytes = null
      this.#unwrittenBytes -= hot.commandLength
    }
  }

  #forget(name: string): void {
    this.#young.delete(name)
    this.#old.delete(name)
  }

  #read(key: Uint8Array, index: number): Hot {
    const row = this.#table.standing(key)
    return {
      createIndex: row?.createIndex ?? index,
      lockIndex: row?.lockIndex ?? 0,
      session: row?.session ?? '',
      modifyIndex: 0,
      bytes: null,
      commandAt: 0,
      commandLength: 0,
      keyLength: key.length,
    }
  }
}

function contentOf({ commandAt, commandLength, keyLength }: Hot, bytes: Buffer): Buffer {
  return bytes.subarray(valueAt(commandAt, keyLength), commandAt + commandLength)
}

/** One character a byte. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
