/** One changed line of the core, and what has to notice it. */
export interface Mutant {
  readonly id: string
  /** what the change does */
  readonly change: string
  /** below agent/ */
  readonly file: string
  /** must occur exactly once */
  readonly find: string
  readonly replace: string
  /** a test file, below agent/test; null: the seeds alone must find it */
  readonly scenario: string | null
  /** how many seeds may be needed at most; 0: only the scenario can find it */
  readonly seeds: number
}
