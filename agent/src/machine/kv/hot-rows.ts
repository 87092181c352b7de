import { assert } from '../../lib/assert.ts'
import type { ChangePart } from './change-part.ts'
import type { PlainRows } from './plain-rows.ts'
import { keyAt, valueAt } from './plain-set.ts'
import { type KeptRow, latin1, type Standing } from './row.ts'

/** Keys of one generation: what was used since the last one is remembered, and the generation before it. */
const GENERATION_KEYS = 16_384
/** Between two commits it may grow by what they let wait. Beyond this all of it is written at once. */
const YOUNG_KEYS_MAX = 4 * GENERATION_KEYS
/** Commands that wait: beyond it the oldest are written. */
const UNWRITTEN_BYTES_MAX = 16 * 1024 * 1024

/** A key that was put plainly a short while ago. */
export interface Hot extends Standing {
  /** the key, one character a byte */
  readonly name: string
  modifyIndex: number
  /** what holds its last command, while that is not in the table */
  bytes: Buffer | null
  commandAt: number
  commandLength: number
  readonly keyLength: number
}

/**
 * Plain values on their way into the table: the last one of a key is written, with others, before the transaction
 * is committed or the table is looked at where it is. What they leave as it was is remembered for the next ones.
 */
export class HotRows {
  readonly #table: PlainRows
  /** by key, one character a byte */
  #young = new Map<string, Hot>()
  #old = new Map<string, Hot>()
  /** in the order in which they began to wait; some were written since, and may be in it twice */
  #unwritten: Hot[] = []
  /** of `#unwritten`: all before it are written */
  #next = 0
  #waiting = 0
  #unwrittenBytes = 0
  #written = 0

  constructor(table: PlainRows) {
    this.#table = table
  }

  /** How many keys the table lacks the last value of. */
  get waiting(): number {
    return this.#waiting
  }

  /** How many were ever written. */
  get written(): number {
    return this.#written
  }

  /**
   * What a plain `set` leaves as it was, as if it had been carried out: where there is no such key, it is made.
   * @param key one character a byte
   */
  standing(key: string, bytes: Uint8Array, index: number): Hot {
    const young = this.#young.get(key)
    if (young !== undefined) return young
    const hot = this.#old.get(key) ?? this.#read(key, bytes, index)
    this.#young.set(key, hot)
    return hot
  }

  /** The set is carried out; the last bytes of `part` are its command. */
  put(hot: Hot, index: number, { bytes, length }: ChangePart, commandLength: number): void {
    if (hot.bytes === null) {
      this.#unwritten.push(hot)
      this.#waiting += 1
    } else this.#unwrittenBytes -= hot.commandLength
    hot.modifyIndex = index
    hot.bytes = bytes
    hot.commandAt = length - commandLength
    hot.commandLength = commandLength
    this.#unwrittenBytes += commandLength
  }

  /** To be called now and then: writes what is too much to wait. */
  bound(): void {
    if (this.#young.size >= YOUNG_KEYS_MAX) this.write()
    while (this.#unwrittenBytes > UNWRITTEN_BYTES_MAX) this.#writeNext()
  }

  /** What waits to be written of one key; null: the table has it, or there is none. @param name the key, one character a byte */
  find(key: Uint8Array, name: string): KeptRow | null {
    if (this.#waiting === 0) return null
    const hot = this.#known(name)
    if (hot === undefined || hot.bytes === null) return null
    const { createIndex, modifyIndex, lockIndex, session } = hot
    const value = contentOf(hot, hot.bytes)
    const plain = { ttlMs: 0, contentType: '', flags: 0n }
    return { key, value, createIndex, modifyIndex, lockIndex, session, ...plain }
  }

  /** Writes what waits, at most so many keys, the oldest first. After an error nothing of the transaction may stay. */
  write(keys: number = Number.POSITIVE_INFINITY): void {
    for (let count = 0; count < keys && this.#waiting > 0; count++) this.#writeNext()
    if (this.#waiting > 0) return
    this.#unwritten = []
    this.#next = 0
    if (this.#young.size < GENERATION_KEYS) return
    this.#old = this.#young
    this.#young = new Map()
  }

  /** The same for one key. */
  writeKey(key: Uint8Array): void {
    if (this.#waiting === 0) return
    const hot = this.#known(latin1(key))
    if (hot !== undefined) this.#writeOne(hot)
  }

  /** The same for those that begin with `prefix`. */
  writeWithin(prefix: Uint8Array): void {
    const begin = latin1(prefix)
    this.#writeThose(({ name }) => name.startsWith(begin))
  }

  /** The same for those that one of these sessions holds. */
  writeHeldBy(ids: ReadonlySet<string>): void {
    this.#writeThose(({ session }) => session !== '' && ids.has(session))
  }

  /** The table is changed otherwise, in this key, which does not wait. */
  forget(key: Uint8Array): void {
    if (this.#young.size === 0 && this.#old.size === 0) return
    const name = latin1(key)
    const hot = this.#known(name)
    if (hot === undefined) return
    assert(hot.bytes === null, 'a key that is changed otherwise does not wait to be written')
    this.#young.delete(name)
    this.#old.delete(name)
  }

  /** What waits is lost, with the transaction that it would have been written in. */
  clear(): void {
    this.#young = new Map()
    this.#old = new Map()
    this.#unwritten = []
    this.#next = 0
    this.#waiting = 0
    this.#unwrittenBytes = 0
  }

  #known(name: string): Hot | undefined {
    return this.#young.get(name) ?? this.#old.get(name)
  }

  #writeNext(): void {
    while (this.#next < this.#unwritten.length) {
      const hot = this.#unwritten[this.#next++] as Hot
      if (hot.bytes === null) continue
      this.#writeOne(hot)
      return
    }
    assert(this.#waiting === 0, 'whatever waits has its turn')
  }

  #writeThose(meant: (hot: Hot) => boolean): void {
    if (this.#waiting === 0) return
    for (let at = this.#next; at < this.#unwritten.length; at++) {
      const hot = this.#unwritten[at] as Hot
      if (hot.bytes !== null && meant(hot)) this.#writeOne(hot)
    }
  }

  #writeOne(hot: Hot): void {
    if (hot.bytes === null) return
    const at = keyAt(hot.commandAt)
    const key = hot.bytes.subarray(at, at + hot.keyLength)
    this.#table.put(key, contentOf(hot, hot.bytes), hot)
    hot.bytes = null
    this.#waiting -= 1
    this.#written += 1
    this.#unwrittenBytes -= hot.commandLength
  }

  #read(name: string, key: Uint8Array, index: number): Hot {
    const row = this.#table.standing(key)
    return {
      name,
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
