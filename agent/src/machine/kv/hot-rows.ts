import { assert } from '../../lib/assert.ts'
import type { Slice } from '../sqlite/engine.ts'
import type { ChangePart } from './change-part.ts'
import { nearlyInOrder } from './key-order.ts'
import type { PlainRows } from './plain-rows.ts'
import { keyAt, valueAt } from './plain-set.ts'
import { type KeptRow, latin1, type Standing } from './row.ts'

/** Keys of one generation: what was used since the last one is remembered, and the generation before it. */
const GENERATION_KEYS = 16_384
/** Between two commits it may grow by what they let wait. Beyond this all of it is written at once. */
const YOUNG_KEYS_MAX = 4 * GENERATION_KEYS
/** Commands that wait: beyond it the oldest are written. More than makes a commit due: that begins before. */
const UNWRITTEN_BYTES_MAX = 32 * 1024 * 1024

/** What a key was put by. */
interface Put {
  readonly modifyIndex: number
  readonly bytes: Buffer
  readonly commandAt: number
  readonly commandLength: number
}

const EVERYTHING: Slice = { rows: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY }

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
  /** one of the frozen that are not written yet */
  frozen: boolean
  /** what it was frozen with, where it was put since */
  former: Put | null
}

/**
 * Plain values on their way into the table: the last one of a key is written, with others, before the transaction
 * is committed or the table is looked at where it is. What they leave as it was is remembered for the next ones.
 * They can be frozen: then they are written as they were, a slice at a time, whatever is put meanwhile.
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
  /** see `freeze` */
  #isFrozen = false
  /** nearly in the order of their keys; all before `#nextFrozen` are written */
  #frozen: Hot[] = []
  #nextFrozen = 0

  constructor(table: PlainRows) {
    this.#table = table
  }

  /** How many keys the table lacks the last value of. */
  get waiting(): number {
    return this.#waiting
  }

  /** The commands that they wait with, bytes. */
  get waitingBytes(): number {
    return this.#unwrittenBytes
  }

  /** Whether only frozen ones were written since `freeze`. */
  get isFrozen(): boolean {
    return this.#isFrozen
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
    } else {
      this.#unwrittenBytes -= hot.commandLength
      if (hot.frozen && hot.former === null) {
        const { modifyIndex, bytes, commandAt, commandLength } = hot
        hot.former = { modifyIndex, bytes, commandAt, commandLength }
        this.#unwritten.push(hot)
      }
    }
    hot.modifyIndex = index
    hot.bytes = bytes
    hot.commandAt = length - commandLength
    hot.commandLength = commandLength
    this.#unwrittenBytes += commandLength
  }

  /** To be called now and then: writes what is too much to wait. */
  bound(): void {
    if (this.#young.size >= YOUNG_KEYS_MAX) this.write()
    if (this.#unwrittenBytes <= UNWRITTEN_BYTES_MAX) return
    this.thaw()
    while (this.#unwrittenBytes > UNWRITTEN_BYTES_MAX) this.#writeNext()
  }

  /** What waits to be written of one key; null: the table has it, or there is none. @param name the key, one character a byte */
  find(key: Uint8Array, name: string): KeptRow | null {
    if (this.#waiting === 0) return null
    const hot = this.#known(name)
    if (hot === undefined || hot.bytes === null) return null
    const { createIndex, modifyIndex, lockIndex, session } = hot
    const value = contentOf(hot, hot.keyLength, hot.bytes)
    const plain = { ttlMs: 0, contentType: '', flags: 0n }
    return { key, value, createIndex, modifyIndex, lockIndex, session, ...plain }
  }

  /** Writes what waits, at most so much, the oldest first. After an error nothing of the transaction may stay. */
  write({ rows, bytes }: Slice = EVERYTHING): void {
    this.thaw()
    const enough = this.#unwrittenBytes - bytes
    for (let count = 0; count < rows && this.#waiting > 0; count++) {
      if (this.#unwrittenBytes <= enough) return
      this.#writeNext()
    }
    if (this.#waiting > 0) return
    this.#unwritten = []
    this.#next = 0
    this.#age()
  }

  /** From now on those that wait are written as they are now, until all are, or others have to be. */
  freeze(): void {
    assert(!this.#isFrozen, 'one state is written at a time')
    const frozen: Hot[] = []
    for (let at = this.#next; at < this.#unwritten.length; at++) {
      const hot = this.#unwritten[at] as Hot
      if (hot.bytes === null || hot.frozen) continue
      hot.frozen = true
      frozen.push(hot)
    }
    this.#frozen = nearlyInOrder(frozen)
    this.#nextFrozen = 0
    this.#unwritten = []
    this.#next = 0
    this.#isFrozen = true
  }

  /**
   * Writes of the frozen at most so much.
   * @returns what is left of the slice
   */
  writeFrozen({ rows, bytes }: Slice): Slice {
    let [rowsLeft, bytesLeft] = [rows, bytes]
    while (rowsLeft > 0 && bytesLeft > 0 && this.#nextFrozen < this.#frozen.length) {
      const hot = this.#frozen[this.#nextFrozen++] as Hot
      rowsLeft -= 1
      bytesLeft -= this.#writeAsFrozen(hot)
    }
    return { rows: rowsLeft, bytes: bytesLeft }
  }

  /** All that were frozen are in a transaction that is committed. */
  settled(): void {
    assert(
      this.#nextFrozen === this.#frozen.length,
      'a state is committed when all of it is written',
    )
    this.#endFreeze()
    // Whatever waits was put since, and is young.
    this.#age()
  }

  /** Frozen or not, those that wait are written as they are when that is done. */
  thaw(): void {
    if (!this.#isFrozen) return
    for (let at = this.#nextFrozen; at < this.#frozen.length; at++) {
      const hot = this.#frozen[at] as Hot
      hot.frozen = false
      if (hot.former === null) this.#unwritten.push(hot)
      hot.former = null
    }
    this.#endFreeze()
  }

  /** The same for one key. */
  writeKey(key: Uint8Array): void {
    if (this.#waiting === 0) return
    const hot = this.#known(latin1(key))
    if (hot === undefined || hot.bytes === null) return
    this.thaw()
    this.#writeOne(hot)
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
    this.#endFreeze()
  }

  #endFreeze(): void {
    this.#frozen = []
    this.#nextFrozen = 0
    this.#isFrozen = false
  }

  /** None of those that only the old generation knows may wait. */
  #age(): void {
    if (this.#young.size < GENERATION_KEYS) return
    this.#old = this.#young
    this.#young = new Map()
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
    if (this.#isFrozen) {
      const concerns = (hot: Hot) => hot.bytes !== null && meant(hot)
      if (!this.#frozen.some(concerns) && !this.#unwritten.some(concerns)) return
      this.thaw()
    }
    for (let at = this.#next; at < this.#unwritten.length; at++) {
      const hot = this.#unwritten[at] as Hot
      if (hot.bytes !== null && meant(hot)) this.#writeOne(hot)
    }
  }

  #writeOne(hot: Hot): void {
    if (hot.bytes === null) return
    const at = keyAt(hot.commandAt)
    const key = hot.bytes.subarray(at, at + hot.keyLength)
    this.#table.put(key, contentOf(hot, hot.keyLength, hot.bytes), hot)
    hot.bytes = null
    this.#waiting -= 1
    this.#written += 1
    this.#unwrittenBytes -= hot.commandLength
  }

  /** @returns bytes of its command */
  #writeAsFrozen(hot: Hot): number {
    hot.frozen = false
    const { former, createIndex, keyLength } = hot
    if (former === null) {
      this.#writeOne(hot)
      return hot.commandLength
    }
    hot.former = null
    const { bytes, commandAt, commandLength, modifyIndex } = former
    const at = keyAt(commandAt)
    const value = contentOf(former, keyLength, bytes)
    this.#table.put(bytes.subarray(at, at + keyLength), value, { createIndex, modifyIndex })
    this.#written += 1
    return commandLength
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
      frozen: false,
      former: null,
    }
  }
}

function contentOf(
  { commandAt, commandLength }: Pick<Put, 'commandAt' | 'commandLength'>,
  keyLength: number,
  bytes: Buffer,
): Buffer {
  return bytes.subarray(valueAt(commandAt, keyLength), commandAt + commandLength)
}
