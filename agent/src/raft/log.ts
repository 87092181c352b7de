import { assert } from '../lib/assert.ts'
import { ENTRY_OVERHEAD_BYTES } from './entry-codec.ts'
import {
  asLogIndex,
  type Entry,
  type LogIndex,
  type LogPosition,
  ORIGIN,
  type Term,
  type TermBorder,
} from './types.ts'

/** What an entry counts for in every limit of bytes. */
export function entryBytes(entry: Entry): number {
  return entry.payload.length + ENTRY_OVERHEAD_BYTES
}

const sizeOf = (entries: readonly Entry[]): number =>
  entries.reduce((sum, entry) => sum + entryBytes(entry), 0)

/** Those above `base`, behind one that stands for the base itself. */
function bordersFrom(base: LogPosition, borders: readonly TermBorder[]): TermBorder[] {
  if (base.index === 0) return [...borders]
  const above = borders.filter(({ first, term }) => first > base.index && term > base.term)
  return [{ first: base.index, term: base.term }, ...above]
}

export interface RaftLogImage {
  readonly base: LogPosition
  readonly last: LogPosition
  readonly borders: readonly TermBorder[]
  readonly cached: readonly Entry[]
  readonly durable: LogIndex
  readonly unread: LogIndex
  readonly configurations: readonly LogIndex[]
}

/** So much less is kept in memory of what nobody is known to lack. */
const HELD_BY_ALL = 32

/**
 * The core's view of the log: the newest entries, the term of every entry, and how far it is
 * durable. Older entries are on disk, where the node reads them (`load`).
 */
export class RaftLog {
  /** the last entry that was compacted away; of it and before it only its term is known */
  #base: LogPosition
  /** ascending in index and in term; the first one is at the base, or begins the log */
  #borders: TermBorder[]
  /** contiguous, ending at `last` */
  #cached: Entry[] = []
  #cachedBytes = 0
  #last: LogPosition
  #durable: LogIndex
  /** entries up to here were on disk at start: what they are is not known */
  #unread: LogIndex
  /** where the log changes the membership, ascending; above `unread` */
  #configurations: LogIndex[] = []

  /** @param borders of what is on disk; all of it is durable */
  constructor(last: LogPosition, borders: readonly TermBorder[], base: LogPosition) {
    this.#base = base
    this.#last = last
    this.#borders = bordersFrom(base, borders)
    this.#durable = last.index
    this.#unread = last.index
  }

  static from(image: RaftLogImage): RaftLog {
    const { base, last, borders, cached, durable, unread, configurations } = image
    const log = new RaftLog(last, borders, base)
    log.#cached = [...cached]
    log.#cachedBytes = sizeOf(cached)
    log.#durable = durable
    log.#unread = unread
    log.#configurations = [...configurations]
    return log
  }

  image(): RaftLogImage {
    return {
      base: this.#base,
      last: this.#last,
      borders: [...this.#borders],
      cached: [...this.#cached],
      durable: this.#durable,
      unread: this.#unread,
      configurations: [...this.#configurations],
    }
  }

  get base(): LogPosition {
    return this.#base
  }

  get last(): LogPosition {
    return this.#last
  }

  /** Highest index that is known to be on this node's disk; never above `last`. */
  get durable(): LogIndex {
    return this.#durable
  }

  /** Null where the log has no such entry, or no longer. */
  termAt(index: LogIndex): Term | null {
    if (index === this.#base.index) return this.#base.term
    if (index < this.#base.index || index > this.#last.index) return null
    return this.#borderOf(index)?.term ?? null
  }

  /**
   * Last entry at or below both the index and the term of `bound`, as far as the log still knows; the
   * origin if it does not. Both sides of a probe use it (§5.3).
   */
  lastAtMost(bound: LogPosition): LogPosition {
    let index = Math.min(bound.index, this.#last.index)
    for (let at = this.#borders.length - 1; at >= 0; at--) {
      const border = this.#borders[at] as TermBorder
      if (border.first > index) continue
      if (border.term <= bound.term) return { index: asLogIndex(index), term: border.term }
      index = border.first - 1
    }
    return ORIGIN
  }

  /** Contiguous entries right behind `last`. They count as durable only by `confirm`. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      assert(entry.index === this.#last.index + 1, 'entries are appended without a gap')
      assert(entry.term >= this.#last.term, 'terms never fall along the log')
      if (entry.term > this.#last.term) this.#borders.push({ first: entry.index, term: entry.term })
      this.#cached.push(entry)
      this.#cachedBytes += entryBytes(entry)
      if (entry.kind === 'configuration') this.#configurations.push(entry.index)
      this.#last = { index: entry.index, term: entry.term }
    }
  }

  /** Drops `index` and all behind it. */
  truncateFrom(index: LogIndex): void {
    assert(index > this.#base.index && index <= this.#last.index, 'only what is there is truncated')
    while (true) {
      const entry = this.#cached.at(-1)
      if (entry === undefined || entry.index < index) break
      this.#cachedBytes -= entryBytes(entry)
      this.#cached.pop()
    }
    while ((this.#borders.at(-1)?.first ?? 0) >= index) this.#borders.pop()
    const left = asLogIndex(index - 1)
    this.#last = { index: left, term: this.#borders.at(-1)?.term ?? ORIGIN.term }
    if (this.#durable > left) this.#durable = left
    if (this.#unread > left) this.#unread = left
    while ((this.#configurations.at(-1) ?? 0) > left) this.#configurations.pop()
  }

  /** Forgets everything up to `base`, which the log holds, but its term. */
  compact(base: LogPosition): void {
    assert(this.termAt(base.index) === base.term, 'the log is compacted at one of its entries')
    this.#base = base
    this.#borders = bordersFrom(base, this.#borders)
    const keep = this.#cached.findIndex(entry => entry.index > base.index)
    this.#cached = keep === -1 ? [] : this.#cached.slice(keep)
    this.#cachedBytes = sizeOf(this.#cached)
    while ((this.#configurations[0] ?? base.index) < base.index) this.#configurations.shift()
  }

  /** Begins at `base`: keeps what follows it if the log holds that very position, and nothing otherwise. */
  reset(base: LogPosition): void {
    if (this.termAt(base.index) === base.term) {
      this.compact(base)
      return
    }
    this.#base = base
    this.#borders = bordersFrom(base, [])
    this.#cached = []
    this.#cachedBytes = 0
    this.#last = base
    this.#durable = base.index
    this.#unread = base.index
    this.#configurations = []
  }

  /** Whether the membership is changed above `after`, up to `upTo`: surely, or by entries that nobody has read. */
  mayConfigure(after: LogIndex, upTo: LogIndex): boolean {
    return after < Math.min(upTo, this.#unread) || this.configures(after, upTo)
  }

  /** Whether it surely is. */
  configures(after: LogIndex, upTo: LogIndex): boolean {
    return this.#configurations.some(index => index > after && index <= upTo)
  }

  /** A write that held the log up to `position` is durable. Says nothing if that entry is no longer here. */
  confirm(position: LogPosition): void {
    if (this.termAt(position.index) !== position.term) return
    if (position.index > this.#durable) this.#durable = position.index
  }

  /** At least one entry, then up to `bytesMax`; null when `from` is on disk only. */
  slice(from: LogIndex, upTo: LogIndex, bytesMax: number): readonly Entry[] | null {
    const first = this.#cached[0]
    if (first === undefined || from < first.index) return null
    const start = from - first.index
    const end = Math.min(upTo - first.index + 1, this.#cached.length)
    let bytes = 0
    let at = start
    for (; at < end; at++) {
      bytes += entryBytes(this.#cached[at] as Entry)
      if (bytes > bytesMax && at > start) break
    }
    return this.#cached.slice(start, at)
  }

  /**
   * Everything up to `upTo` is applied: what it configured is in force, and only `bytesMax` of it stay in memory. Of
   * what every peer has, up to `held`, far less: objects that die young cost the garbage collector nothing.
   */
  trim(upTo: LogIndex, held: LogIndex, bytesMax: number): void {
    while ((this.#configurations[0] ?? upTo) < upTo) this.#configurations.shift()
    this.evict(upTo, bytesMax)
    const first = this.#cached[0]
    // Where somebody is far behind, the next calls would drop little each.
    if (first === undefined || held - first.index < this.#cached.length / 2) return
    this.evict(held, bytesMax / HELD_BY_ALL)
  }

  /** Forgets the oldest entries in memory, at most up to `upTo`, until at most `bytesMax` are left. */
  evict(upTo: LogIndex, bytesMax: number): void {
    // Half at a time: dropping from the front of an array costs its whole length.
    if (this.#cachedBytes <= bytesMax * 2) return
    let drop = 0
    while (this.#cachedBytes > bytesMax) {
      const entry = this.#cached[drop]
      if (entry === undefined || entry.index > upTo) break
      this.#cachedBytes -= entryBytes(entry)
      drop++
    }
    if (drop > 0) this.#cached = this.#cached.slice(drop)
  }

  #borderOf(index: LogIndex): TermBorder | null {
    // Nearly always the newest term is asked for.
    for (let at = this.#borders.length - 1; at >= Math.max(0, this.#borders.length - 4); at--) {
      const border = this.#borders[at] as TermBorder
      if (border.first <= index) return border
    }
    let low = 0
    let high = this.#borders.length - 1
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if ((this.#borders[middle] as TermBorder).first <= index) low = middle
      else high = middle - 1
    }
    const border = this.#borders[low]
    return border !== undefined && border.first <= index ? border : null
  }
}
