import type { Change, EntryChanges, Interest } from './change.ts'
import { type Listener, Listeners } from './listeners.ts'

/** Changes that are kept, bytes: keys, values, and what it costs to keep them. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024
const CHANGE_BYTES = 128

/** The end of what was changed before. */
export interface History {
  /** every change after this index is among the entries */
  readonly since: number
  readonly entries: readonly EntryChanges[]
}

/**
 * What committed entries have changed on this node, in their order: the newest of it, bounded by
 * bytes, and a call to whoever listens. Nobody who is slow holds anything back: readers come with the
 * index that they know, and are told when what follows is no longer here.
 */
export class ChangeFeed {
  readonly #bytesMax: number
  readonly #listeners = new Listeners()
  /** ascending; what lies before `#first` is dropped */
  #kept: EntryChanges[] = []
  #first = 0
  #bytes = 0
  #since = 0
  #last = 0
  #reserved = 0
  #timeMs = 0
  #published = 0

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
    this.#kept = [...history.entries]
    this.#first = 0
    this.#bytes = 0
    for (const entry of this.#kept) this.#bytes += sizeOf(entry)
    this.#since = history.since
    this.#last = last
    this.#shrink()
    this.#listeners.notifyAll(before + 1)
  }

  /** A batch was applied up to `last`. Calls each listener that any of it concerns, once. */
  publish(entries: readonly EntryChanges[], last: number): void {
    this.#last = Math.max(this.#last, last)
    if (entries.length === 0) return
    for (const entry of entries) {
      const bytes = sizeOf(entry)
      this.#kept.push(entry)
      this.#bytes += bytes
      this.#published += bytes
    }
    this.#shrink()
    this.#listeners.notify(entries)
  }

  /** Beside what is published: reserved keys, and the log's time. */
  note({ reserved, timeMs }: { readonly reserved: boolean; readonly timeMs: number }): void {
    if (reserved) this.#reserved += 1
    this.#timeMs = Math.max(this.#timeMs, timeMs)
  }

  /** What follows `after`, oldest first, at most `limit` entries; null when some of that is no longer here. */
  read(after: number, limit: number): readonly EntryChanges[] | null {
    if (after < this.#since) return null
    let low = this.#first
    let high = this.#kept.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#kept[middle] as EntryChanges).index > after) high = middle
      else low = middle + 1
    }
    return this.#kept.slice(low, low + limit)
  }

  /** Of what follows `after` the newest, at most so many bytes. */
  newest(after: number, bytesMax: number): History {
    let bytes = 0
    let at = this.#kept.length
    for (; at > this.#first; at--) {
      const entry = this.#kept[at - 1] as EntryChanges
      bytes += sizeOf(entry)
      if (entry.index <= after) break
      if (bytes > bytesMax) return { since: entry.index, entries: this.#kept.slice(at) }
    }
    return { since: Math.max(after, this.#since), entries: this.#kept.slice(at) }
  }

  /**
   * Calls `listener` in the turn of every change that concerns `interest`, with the index from which on
   * there may be something for it; it must be short, and not throw.
   * @returns how to stop it
   */
  listen(interest: Interest, listener: Listener): () => void {
    return this.#listeners.add(interest, listener)
  }

  #shrink(): void {
    while (this.#bytes > this.#bytesMax) {
      const entry = this.#kept[this.#first] as EntryChanges
      this.#first += 1
      this.#bytes -= sizeOf(entry)
      this.#since = entry.index
    }
    if (this.#first < 1024 || this.#first * 2 < this.#kept.length) return
    this.#kept = this.#kept.slice(this.#first)
    this.#first = 0
  }
}

function sizeOf({ changes, lifetimes }: EntryChanges): number {
  let bytes = CHANGE_BYTES * (1 + lifetimes.length)
  for (const change of changes) bytes += sizeOfChange(change)
  return bytes
}

function sizeOfChange({ key, value }: Change): number {
  return CHANGE_BYTES + key.length + (value?.length ?? 0)
}
