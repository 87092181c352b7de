import type { EntryChanges, Interest } from './change.ts'
import { entryBytesMax, setBytesMax } from './change-codec.ts'
import { ChangePart } from './change-part.ts'
import type { Lifetime } from './expiry.ts'
import { type Listener, Listeners } from './listeners.ts'
import { contentLength } from './plain-set.ts'
import type { Standing } from './row.ts'

/** Changes that are kept, bytes: keys, values, and what it costs to keep them. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024
/** What an entry counts for beside its changes, a change beside key and value, and a lifetime. */
const CHANGE_BYTES = 128
/** The newest parts keep what was decoded of them: those who follow are there, and read the same. */
const DECODED_PARTS = 2

/** The end of what was changed before. */
export interface History {
  /** every change after this index is among the entries */
  readonly since: number
  readonly entries: readonly EntryChanges[]
}

/** The same, encoded. */
export interface EncodedHistory {
  readonly since: number
  /** one behind the other, each up to the entry of this index */
  readonly pieces: readonly { readonly upto: number; readonly body: Uint8Array }[]
}

/**
 * What committed entries have changed on this node, in their order: the newest of it, bounded by
 * bytes, and a call to whoever listens. Nobody who is slow holds anything back: readers come with the
 * index that they know, and are told when what follows is no longer here. Kept encoded, and decoded for who reads.
 */
export class ChangeFeed {
  readonly #bytesMax: number
  readonly #listeners = new Listeners()
  readonly #followers = new Set<() => void>()
  /** ascending; none of them is empty */
  #parts: ChangePart[] = []
  #bytes = 0
  #since = 0
  #last = 0
  #reserved = 0
  #timeMs = 0
  #published = 0
  /** index of the first entry that was added and not published; 0: there is none */
  #added = 0

  constructor(bytesMax: number = KEPT_BYTES_MAX) {
    this.#bytesMax = bytesMax
  }

  /** Every change after this index is still here. */
  get since(): number {
    return this.#since
  }

  /** Index of the last entry that was applied, whether it changed anything or not. */
  get last(): number {
    return this.#last
  }

  /** Another number whenever a reserved key may have changed. */
  get reserved(): number {
    return this.#reserved
  }

  /** The log's time as of the last entry applied since the start, Unix ms; 0: none was. It never falls. */
  get timeMs(): number {
    return this.#timeMs
  }

  /** Bytes that were ever kept: it differs where something was published meanwhile. */
  get published(): number {
    return this.#published
  }

  /** Bytes of what is kept, as it is encoded. */
  get encodedBytes(): number {
    return this.#parts.reduce((sum, { length }) => sum + length, 0)
  }

  /** How many listen. */
  get listening(): number {
    return this.#listeners.size
  }

  /**
   * The machine has another state, as of `last`.
   * @param history what led to it, as far as it is known: every change after `since`
   */
  restart(last: number, history: History = { since: last, entries: [] }): void {
    const before = this.#last
    this.#reserved += 1
    this.#parts = []
    this.#bytes = 0
    for (const entry of history.entries) this.#append(entry)
    this.#since = history.since
    this.#last = last
    this.#shrink()
    this.#added = 0
    this.#listeners.notifyAll(before + 1)
    for (const moved of this.#followers) moved()
  }

  /** One entry's changes, which are to be published with the batch. */
  add(entry: EntryChanges): void {
    this.#append(entry)
    this.#listeners.concern(entry)
  }

  /**
   * The same for a plain `set` of one key.
   * @param standing of the key; what the entry left as it was
   * @param key one character a byte
   * @returns the part whose last bytes are a copy of the command
   */
  addSet(index: number, command: Uint8Array, standing: Standing, key: string): ChangePart {
    const part = this.#partFor(setBytesMax(command, standing))
    const cost = 2 * CHANGE_BYTES + contentLength(command)
    part.addSet(index, command, standing, cost)
    this.#count(index, cost)
    this.#listeners.concernKey(key)
    return part
  }

  /** The batch is applied up to `last`. Calls each listener that any of it concerns, once. */
  publish(last: number): void {
    const before = this.#last
    this.#last = Math.max(before, last)
    if (this.#added !== 0) {
      const first = this.#added
      this.#added = 0
      this.#shrink()
      this.#listeners.call(first)
    }
    if (this.#last > before) for (const moved of this.#followers) moved()
  }

  /** Beside what is published: reserved keys, and the log's time. */
  note({ reserved, timeMs }: { readonly reserved: boolean; readonly timeMs: number }): void {
    if (reserved) this.#reserved += 1
    this.#timeMs = Math.max(this.#timeMs, timeMs)
  }

  /** What follows `after`, oldest first, at most `limit` entries; null when some of that is no longer here. */
  read(after: number, limit: number): readonly EntryChanges[] | null {
    if (after < this.#since) return null
    const entries: EntryChanges[] = []
    for (const [at, part] of this.#partsBehind(after)) {
      for (let place = part.placeBehind(after); place < part.end; place++) {
        if (entries.length === limit || part.indexAt(place) > this.#last) return entries
        entries.push(part.read(place))
      }
      if (at < this.#parts.length - DECODED_PARTS) part.forget()
    }
    return entries
  }

  /** What follows `after` of beginnings and renewals of lifetimes; null as in `read`. */
  readLifetimes(after: number): Lifetime[] | null {
    if (after < this.#since) return null
    const lifetimes: Lifetime[] = []
    for (const [, part] of this.#partsBehind(after)) {
      for (const entry of part.mortalBehind(after)) {
        if (entry.index <= this.#last) lifetimes.push(...entry.lifetimes)
      }
    }
    return lifetimes
  }

  /** Of what follows `after` the newest, at most so many bytes. */
  newest(after: number, bytesMax: number): EncodedHistory {
    const pieces: { upto: number; body: Uint8Array }[] = []
    let bytes = 0
    for (let at = this.#parts.length - 1; at >= 0; at--) {
      const part = this.#parts[at] as ChangePart
      const begin = part.placeBehind(after)
      let place = part.end
      while (place > begin && bytes + part.costAt(place - 1) <= bytesMax) {
        place -= 1
        bytes += part.costAt(place)
      }
      if (place < part.end) {
        const body = part.bytes.subarray(part.beginOf(place), part.length)
        pieces.unshift({ upto: part.lastIndex, body })
      }
      if (place > begin) return { since: part.indexAt(place - 1), pieces }
      if (begin > part.first) break
    }
    return { since: Math.max(after, this.#since), pieces }
  }

  /**
   * Calls `listener` in the turn of every change that concerns `interest`, with the index from which on
   * there may be something for it; it must be short, and not throw.
   * @returns how to stop it
   */
  listen(interest: Interest, listener: Listener): () => void {
    return this.#listeners.add(interest, listener)
  }

  /**
   * Calls `moved` in the turn of every batch that was applied, also of one that changed nothing; it must be short, and
   * not throw.
   * @returns how to stop it
   */
  follow(moved: () => void): () => void {
    this.#followers.add(moved)
    return () => this.#followers.delete(moved)
  }

  #append(entry: EntryChanges): void {
    const cost = costOf(entry)
    this.#partFor(entryBytesMax(entry)).add(entry, cost)
    this.#count(entry.index, cost)
  }

  #count(index: number, cost: number): void {
    this.#bytes += cost
    this.#published += cost
    if (this.#added === 0) this.#added = index
  }

  #partFor(bytes: number): ChangePart {
    const newest = this.#parts.at(-1)
    if (newest?.hasRoom(bytes)) return newest
    this.#parts.at(-DECODED_PARTS)?.forget()
    const part = new ChangePart(bytes)
    this.#parts.push(part)
    return part
  }

  /** With their places, oldest first; the first may hold nothing behind `index`. */
  *#partsBehind(index: number): Iterable<readonly [number, ChangePart]> {
    let from = this.#parts.length
    while (from > 0 && (this.#parts[from - 1] as ChangePart).lastIndex > index) from -= 1
    for (let at = from; at < this.#parts.length; at++) yield [at, this.#parts[at] as ChangePart]
  }

  #shrink(): void {
    while (this.#bytes > this.#bytesMax) {
      const oldest = this.#parts[0] as ChangePart
      this.#since = oldest.indexAt(oldest.first)
      this.#bytes -= oldest.drop()
      if (oldest.first === oldest.end) this.#parts.shift()
    }
  }
}

function costOf({ changes, lifetimes }: EntryChanges): number {
  let bytes = CHANGE_BYTES * (1 + lifetimes.length)
  for (const { key, value } of changes) bytes += CHANGE_BYTES + key.length + (value?.length ?? 0)
  return bytes
}
