import { assert } from '../lib/assert.ts'
import {
  asLogIndex,
  asTerm,
  type Entry,
  type HardState,
  type LogIndex,
  type LogPosition,
  ORIGIN,
  type SnapshotHeader,
  type Term,
  type TermBorder,
} from '../raft/types.ts'
import { type LogBatch, LogCompacted, type LogState } from './log-store.ts'
import type { FrameSummary } from './record.ts'

/** Where a frame lies: [at, end) of a segment. */
export interface Place {
  readonly segment: number
  readonly at: number
  readonly end: number
}

/** A stretch of one segment that holds the living entries from `first` to `last`, maybe others too. */
export interface Span extends Place {
  readonly first: LogIndex
  readonly last: LogIndex
}

/** `end` grows while frames are added; `first` is the first index that the log still has from here. */
interface Mark {
  readonly first: LogIndex
  readonly segment: number
  readonly at: number
  end: number
}

/** One mark for so many bytes, not for each entry: a log of 1 GiB needs 16,384 of them. */
const MARK_BYTES = 65_536

/**
 * What memory knows of a log: its end, its term borders, its hard state, and where entries lie.
 * The log of this moment is the sum of its frames in order; recovery and `persist` add them alike.
 */
export class LogOutline {
  #base: LogPosition
  readonly #start: LogPosition
  #explained: boolean
  #last: LogPosition
  #marker: SnapshotHeader | null = null
  #hardState: HardState = { term: asTerm(0), vote: null, commit: asLogIndex(0) }
  /** ascending in both fields */
  #borders: TermBorder[] = []
  /** ascending by `first`; a frame that truncates is always the first of its mark */
  #marks: Mark[] = []
  #truncated = false
  /** segments at which a replay may begin, ascending: the log still holds the entry that was last then */
  #starts: { readonly segment: number; readonly index: LogIndex }[] = []

  /** @param start last entry before the first frame that will be added */
  constructor(start: LogPosition = ORIGIN) {
    this.#base = start
    this.#last = start
    this.#start = start
    this.#explained = start.index === ORIGIN.index
  }

  get base(): LogPosition {
    return this.#base
  }

  /** Whether a frame tells why nothing before the first one is there: it was dropped, not lost. */
  get isExplained(): boolean {
    return this.#explained
  }

  get marker(): SnapshotHeader | null {
    return this.#marker
  }

  get hardState(): HardState {
    return this.#hardState
  }

  get last(): LogPosition {
    return this.#last
  }

  /** A copy, for whoever opens the log. */
  state(): LogState {
    return {
      base: this.#base,
      last: this.#last,
      borders: [...this.#borders],
      hardState: this.#hardState,
      marker: this.#marker,
    }
  }

  /**
   * States what must hold before a frame may follow the log.
   * @throws AssertionError naming the rule; nothing has changed then
   */
  check(summary: FrameSummary): void {
    const { hardState, truncateFrom, first, count, borders } = summary
    const { term, vote, commit } = this.#hardState
    assert(hardState.term >= term, 'the term never decreases')
    assert(
      hardState.term > term || vote === null || hardState.vote === vote,
      'a vote never changes within its term (§5.2)',
    )
    const left = this.#leftAfter(truncateFrom)
    assert(left.index <= this.#last.index, 'a truncation starts inside the log')
    assert(left.index >= this.#base.index, 'what was compacted is not truncated')
    assert(truncateFrom === null || truncateFrom > commit, 'only entries above commit are dropped')
    assert(count === 0 || first === left.index + 1, 'entries follow the end of the log')
    let previous = left.term
    for (const border of borders) {
      assert(border.term >= previous, 'terms never decrease along the log')
      previous = border.term
    }
    assert(previous <= hardState.term, 'no entry is of a future term')
    const end = isReplacing(summary) ? summary.base.index : left.index + count
    assert(hardState.commit <= end, 'commit never passes the log')
    assert((summary.base?.index ?? 0) <= end, 'a base lies inside the log')
  }

  /** Adds a frame that passed `check` and is durable at `place`. */
  add(summary: FrameSummary, place: Place): void {
    if (summary.truncateFrom !== null) this.#truncate(summary.truncateFrom)
    this.#hardState = summary.hardState
    if (summary.header !== null) this.#marker = summary.header
    if (summary.base !== null) this.#rebase(summary.base, summary)
    this.#hardState = committedUpTo(this.#hardState, this.#base)
    if (summary.count === 0) return
    for (const border of summary.borders) {
      if (border.term > (this.#borders.at(-1)?.term ?? 0)) this.#borders.push(border)
    }
    this.#mark(summary.first, place)
    this.#last = {
      index: asLogIndex(this.#last.index + summary.count),
      term: summary.borders.at(-1)?.term ?? this.#last.term,
    }
  }

  /** A new segment begins here. */
  startSegment(segment: number): void {
    this.#starts.push({ segment, index: this.#last.index })
  }

  /** The segment from which on the files are needed: with those before it the log would be the same. */
  firstNeeded(): number {
    return this.#starts.findLast(({ index }) => index <= this.#base.index)?.segment ?? 0
  }

  /** The term of an entry, of the base too; null where the log has none. */
  termAt(index: LogIndex): Term | null {
    if (index === this.#base.index) return this.#base.term
    if (index < this.#base.index || index > this.#last.index) return null
    return this.#borders.findLast(({ first }) => first <= index)?.term ?? null
  }

  /** The spans that hold `from` to `upTo`, in order. They stay readable whatever is added later. */
  spans(from: LogIndex, upTo: LogIndex): Span[] {
    requireHeld(this, from, upTo)
    let low = 0
    let high = this.#marks.length
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if ((this.#marks[middle]?.first ?? 0) <= from) low = middle
      else high = middle
    }
    const spans: Span[] = []
    for (let at = low; at < this.#marks.length; at++) {
      const mark = this.#marks[at]
      if (mark === undefined || mark.first > upTo) break
      const next = this.#marks[at + 1]
      spans.push({ ...mark, last: next ? asLogIndex(next.first - 1) : this.#last.index })
    }
    return spans
  }

  /** Of the frames that hold what follows `index`, and of what shares a mark with it. */
  bytesAfter(index: LogIndex): number {
    let bytes = 0
    for (let at = this.#marks.length - 1; at >= 0; at--) {
      const mark = this.#marks[at]
      const next = this.#marks[at + 1]?.first ?? this.#last.index + 1
      if (mark === undefined || next - 1 <= index) break
      bytes += mark.end - mark.at
    }
    return bytes
  }

  #leftAfter(truncateFrom: LogIndex | null): LogPosition {
    if (truncateFrom === null || truncateFrom === this.#last.index + 1) return this.#last
    const index = asLogIndex(truncateFrom - 1)
    return { index, term: this.termAt(index) ?? ORIGIN.term }
  }

  #truncate(from: LogIndex): void {
    this.#last = this.#leftAfter(from)
    while ((this.#borders.at(-1)?.first ?? 0) >= from) this.#borders.pop()
    while ((this.#marks.at(-1)?.first ?? 0) >= from) this.#marks.pop()
    this.#starts = this.#starts.filter(({ index }) => index < from)
    this.#truncated = true
  }

  #rebase(base: LogPosition, summary: FrameSummary): void {
    const isReplaced = isReplacing(summary)
    this.#explained ||= isReplaced || base.index >= this.#start.index
    if (summary.kind === 'reset') this.#marker = null
    if (isReplaced) {
      this.#last = base
      this.#borders = []
      this.#marks = []
      this.#starts = this.#starts.map(({ segment }) => ({ segment, index: ORIGIN.index }))
    } else {
      // A replay may begin above an older base.
      if (base.index <= this.#base.index) return
      this.#dropPrefix(base)
    }
    this.#base = base
  }

  #dropPrefix({ index }: LogPosition): void {
    const first = asLogIndex(index + 1)
    const term = first <= this.#last.index ? this.termAt(first) : null
    const later = this.#borders.filter(border => border.first > first)
    this.#borders = term === null ? later : [{ first, term }, ...later]
    const keep = this.#marks.findLastIndex(mark => mark.first <= first)
    this.#marks = first > this.#last.index ? [] : this.#marks.slice(Math.max(keep, 0))
  }

  #mark(first: LogIndex, { segment, at, end }: Place): void {
    const mark = this.#marks.at(-1)
    const fits = mark?.segment === segment && end - mark.at <= MARK_BYTES && !this.#truncated
    if (mark && fits) mark.end = end
    else this.#marks.push({ first, segment, at, end })
    this.#truncated = false
  }
}

/**
 * The summary of a batch.
 * @throws AssertionError unless its entries are contiguous, or if it would truncate at or below `floor` (C2)
 */
export function summarize({ hardState, truncateFrom, entries, floor }: LogBatch): FrameSummary {
  assert(truncateFrom === null || truncateFrom > floor, 'only entries above the floor are dropped')
  const borders: TermBorder[] = []
  let previous: Entry | null = null
  for (const entry of entries) {
    if (previous !== null) assert(entry.index === previous.index + 1, 'entries are contiguous')
    if (entry.term !== previous?.term) borders.push({ first: entry.index, term: entry.term })
    previous = entry
  }
  const first = entries[0]?.index ?? ORIGIN.index
  return {
    ...emptyFrame('batch', hardState),
    truncateFrom,
    first,
    count: entries.length,
    borders,
  }
}

/** A frame without entries. */
export function emptyFrame(kind: FrameSummary['kind'], hardState: HardState): FrameSummary {
  return {
    kind,
    hardState,
    truncateFrom: null,
    first: ORIGIN.index,
    count: 0,
    borders: [],
    base: null,
    header: null,
    kept: false,
  }
}

/**
 * The frame that drops everything up to `base`; null when that is gone already.
 * @throws AssertionError unless the log holds that very entry
 */
export function compaction(outline: LogOutline, base: LogPosition): FrameSummary | null {
  if (base.index <= outline.base.index) return null
  assert(outline.termAt(base.index) === base.term, 'the log is compacted at one of its entries')
  // The marker's frame must not go with its segment.
  assert(outline.marker === null, 'no compaction while a snapshot is being installed')
  return { ...emptyFrame('compacted', committedUpTo(outline.hardState, base)), base }
}

/**
 * The frame that marks the install of a snapshot; null when it is marked already.
 * @throws AssertionError when another one is, or it would take back what is committed
 */
export function marking(outline: LogOutline, header: SnapshotHeader): FrameSummary | null {
  const { marker, hardState } = outline
  if (marker !== null) {
    assert(sameSnapshot(marker, header), 'one snapshot is installed at a time')
    return null
  }
  const { index, term } = header.position
  const isHeld = outline.termAt(index) === term
  assert(isHeld || index > hardState.commit, 'an install drops nothing that is committed')
  return { ...emptyFrame('marked', hardState), header }
}

/**
 * The frame after which the log begins at the marked snapshot.
 * @throws AssertionError when another one is marked, or none
 */
export function resetting(outline: LogOutline, header: SnapshotHeader): FrameSummary {
  const { marker } = outline
  const same = marker !== null && sameSnapshot(marker, header)
  assert(same, 'only a marked snapshot resets the log')
  const base = header.position
  const kept = outline.termAt(base.index) === base.term
  return { ...emptyFrame('reset', committedUpTo(outline.hardState, base)), base, kept }
}

/** @throws LogCompacted | AssertionError unless all of it is in the log */
export function requireHeld(
  { base, last }: { readonly base: LogPosition; readonly last: LogPosition },
  from: LogIndex,
  upTo: LogIndex,
): void {
  assert(from >= 1 && from <= upTo && upTo <= last.index, 'only what the log holds is read')
  if (from > base.index) return
  throw new LogCompacted(`entry ${from} was dropped, the log begins behind ${base.index}`)
}

/** Whether nothing is left of the log that was. */
function isReplacing(
  summary: FrameSummary,
): summary is FrameSummary & { readonly base: LogPosition } {
  return summary.kind === 'reset' && !summary.kept
}

/** A base is committed, whether or not that was written down before. */
function committedUpTo(hardState: HardState, base: LogPosition): HardState {
  return hardState.commit >= base.index ? hardState : { ...hardState, commit: base.index }
}

function sameSnapshot(one: SnapshotHeader, other: SnapshotHeader): boolean {
  return one.id === other.id && one.position.index === other.position.index
}
