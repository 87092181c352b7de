import { assert } from '../lib/assert.ts'
import {
  asLogIndex,
  asTerm,
  type Entry,
  type HardState,
  type LogIndex,
  type LogPosition,
  ORIGIN,
  type TermBorder,
} from '../raft/types.ts'
import type { LogBatch, LogState } from './log-store.ts'
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
  #last = ORIGIN
  #hardState: HardState = { term: asTerm(0), vote: null, commit: asLogIndex(0) }
  /** ascending in both fields */
  readonly #borders: TermBorder[] = []
  /** ascending by `first`; a frame that truncates is always the first of its mark */
  readonly #marks: Mark[] = []
  #truncated = false

  get hardState(): HardState {
    return this.#hardState
  }

  get last(): LogPosition {
    return this.#last
  }

  /** A copy, for whoever opens the log. */
  state(): LogState {
    return { last: this.#last, borders: [...this.#borders], hardState: this.#hardState }
  }

  /**
   * States what must hold before a frame may follow the log.
   * @throws AssertionError naming the rule; nothing has changed then
   */
  check({ hardState, truncateFrom, first, count, borders }: FrameSummary): void {
    const { term, vote, commit } = this.#hardState
    assert(hardState.term >= term, 'the term never decreases')
    assert(
      hardState.term > term || vote === null || hardState.vote === vote,
      'a vote never changes within its term (§5.2)',
    )
    const left = this.#leftAfter(truncateFrom)
    assert(left.index <= this.#last.index, 'a truncation starts inside the log')
    assert(truncateFrom === null || truncateFrom > commit, 'only entries above commit are dropped')
    assert(count === 0 || first === left.index + 1, 'entries follow the end of the log')
    let previous = left.term
    for (const border of borders) {
      assert(border.term >= previous, 'terms never decrease along the log')
      previous = border.term
    }
    assert(previous <= hardState.term, 'no entry is of a future term')
    assert(hardState.commit <= left.index + count, 'commit never passes the log')
  }

  /** Adds a frame that passed `check` and is durable at `place`. */
  add(summary: FrameSummary, place: Place): void {
    if (summary.truncateFrom !== null) this.#truncate(summary.truncateFrom)
    this.#hardState = summary.hardState
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

  /** The spans that hold `from` to `upTo`, in order. They stay readable whatever is added later. */
  spans(from: LogIndex, upTo: LogIndex): Span[] {
    assert(from >= 1 && from <= upTo && upTo <= this.#last.index, 'only what the log holds is read')
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

  #leftAfter(truncateFrom: LogIndex | null): LogPosition {
    if (truncateFrom === null || truncateFrom === this.#last.index + 1) return this.#last
    const index = asLogIndex(truncateFrom - 1)
    const border = this.#borders.findLast(({ first }) => first <= index)
    return { index, term: border?.term ?? ORIGIN.term }
  }

  #truncate(from: LogIndex): void {
    this.#last = this.#leftAfter(from)
    while ((this.#borders.at(-1)?.first ?? 0) >= from) this.#borders.pop()
    while ((this.#marks.at(-1)?.first ?? 0) >= from) this.#marks.pop()
    this.#truncated = true
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
  return { kind: 'batch', hardState, truncateFrom, first, count: entries.length, borders }
}
