import type { CommittedEntry, Result } from '../machine/state-machine.ts'
import type { LogIndex, LogPosition, Term } from '../raft/types.ts'
import type { Outcome } from './outcome.ts'

/** Settles one proposal's promise. */
export type Settle = (outcome: Outcome) => void

interface Waiting {
  readonly index: LogIndex
  readonly term: Term
  readonly deadline: number
  readonly settle: Settle
}

/**
 * Proposals that were appended and wait for their fate, keyed by position: the same index in
 * another term is another entry. Losing leadership settles nothing, since the entry may yet commit.
 */
export class Pending {
  /** ascending by deadline; of one index there may be several, of different terms */
  #waiting: Waiting[] = []
  readonly #superseded: () => Extract<Outcome, { kind: 'not-leader' }>

  /** @param superseded what to answer when another entry was applied at the index */
  constructor(superseded: () => Extract<Outcome, { kind: 'not-leader' }>) {
    this.#superseded = superseded
  }

  get size(): number {
    return this.#waiting.length
  }

  add(position: LogPosition, deadline: number, settle: Settle): void {
    this.#waiting.push({ index: position.index, term: position.term, deadline, settle })
  }

  /** Entries were applied here, in order; `results` are theirs. */
  applied(entries: readonly CommittedEntry[], results: readonly (Result | null)[]): void {
    const first = entries[0]?.position.index
    const last = entries.at(-1)?.position.index
    if (first === undefined || last === undefined || this.#waiting.length === 0) return
    const left: Waiting[] = []
    for (const waiting of this.#waiting) {
      if (waiting.index > last) left.push(waiting)
      else
        waiting.settle(
          this.#outcome(waiting, entries[waiting.index - first], results[waiting.index - first]),
        )
    }
    this.#waiting = left
  }

  /** What was applied up to `index`, and how, is not known here. */
  jumped(index: LogIndex): void {
    const passed = this.#waiting.filter(waiting => waiting.index <= index)
    this.#waiting = this.#waiting.filter(waiting => waiting.index > index)
    for (const { settle } of passed) settle({ kind: 'unknown' })
  }

  /** Answers `unknown` where the deadline has passed. */
  expire(now: number): void {
    const first = this.#waiting[0]
    if (first === undefined || first.deadline > now) return
    const left = this.#waiting.filter(waiting => waiting.deadline > now)
    const expired = this.#waiting.filter(waiting => waiting.deadline <= now)
    this.#waiting = left
    for (const waiting of expired) waiting.settle({ kind: 'unknown' })
  }

  /** The node stops: nobody will learn the fate of these here. */
  abandon(): void {
    this.expire(Number.POSITIVE_INFINITY)
  }

  #outcome(
    waiting: Waiting,
    entry: CommittedEntry | undefined,
    result: Result | null | undefined,
  ): Outcome {
    if (entry === undefined || result === undefined || result === null) return { kind: 'unknown' }
    if (entry.position.term !== waiting.term) return this.#superseded()
    return { kind: 'applied', position: entry.position, result }
  }
}
