import type { Database } from 'better-sqlite3'
import type { Changed } from './engine.ts'

/** After so many entries a transaction is committed: what a kill makes the log replay. */
const ENTRIES_MAX = 20_000
/** What it adds beside rows: some of it stays in memory until then. */
const BYTES_MAX = 16 * 1024 * 1024
/** Pages that it writes at once, as far as they can be foretold: some microseconds each, in one stretch. */
const PAGES_MAX = 2_048

/**
 * When to commit. The rarer, the fewer pages are written: one that changes again is written once. In a large
 * database hardly any does, and many rows would only make a long stretch.
 */
export class CommitPolicy {
  readonly #db: Database
  #rowsMax = 0

  constructor(db: Database) {
    this.#db = db
    this.committed()
  }

  isDue(entries: number, { rows, bytes }: Changed): boolean {
    return entries >= ENTRIES_MAX || rows >= this.#rowsMax || bytes >= BYTES_MAX
  }

  /** The next transaction begins. */
  committed(): void {
    this.#rowsMax = rowsFilling(PAGES_MAX, Number(this.#db.pragma('page_count', { simple: true })))
  }
}

/** How many rows, scattered evenly, are in so many pages of all. */
function rowsFilling(some: number, all: number): number {
  return all <= some ? Number.POSITIVE_INFINITY : -all * Math.log(1 - some / all)
}
