import type { Database } from 'better-sqlite3'
import type { Changed } from './engine.ts'

/** After so many entries a transaction is committed: what a kill makes the log replay. */
const ENTRIES_MAX = 20_000
/** What it adds beside rows: some of it stays in memory until then. */
const BYTES_MAX = 24 * 1024 * 1024
/** Pages that it writes at once, as far as they can be foretold: some microseconds each, in one stretch. */
const PAGES_MAX = 2_048
/** Of a WAL: small values all over a large table make it grow by a page each. */
const WAL_BYTES_MAX = 128 * 1024 * 1024

/**
 * When to commit. The rarer, the fewer pages are written: one that changes again is written once. In a large
 * database hardly any does, and many rows would only make a long stretch.
 */
export class CommitPolicy {
  readonly #db: Database
  readonly #pageBytes: number
  #rowsMax = 0
  #walFrames = 0
  /** as of the last checkpoint: what a reader kept it from moving is not worth another */
  #leftFrames = 0

  constructor(db: Database) {
    this.#db = db
    this.#pageBytes = this.#number('page_size')
  }

  /** Whether the WAL, as of the last commit, has become long since the last checkpoint. */
  get walIsLong(): boolean {
    return (this.#walFrames - this.#leftFrames) * this.#pageBytes >= WAL_BYTES_MAX
  }

  isDue(entries: number, { rows, bytes }: Changed): boolean {
    return entries >= ENTRIES_MAX || rows >= this.#rowsMax || bytes >= BYTES_MAX
  }

  /**
   * The next transaction begins.
   * @param bytesBeside of the database, which no row is in
   */
  committed(bytesBeside: number): void {
    const pages = this.#number('page_count') - this.#number('freelist_count')
    this.#rowsMax = rowsFilling(PAGES_MAX, pages - bytesBeside / this.#pageBytes)
    const [wal] = this.#db.pragma('wal_checkpoint(NOOP)') as [{ readonly log: number }]
    this.#walFrames = wal.log
    // It has started over.
    if (wal.log < this.#leftFrames) this.#leftFrames = 0
  }

  /** A checkpoint is over, whatever it has moved. */
  checkpointed(): void {
    this.#leftFrames = this.#walFrames
  }

  #number(pragma: string): number {
    return Number(this.#db.pragma(pragma, { simple: true }))
  }
}

/** How many rows, scattered evenly, are in so many pages of all. */
function rowsFilling(some: number, all: number): number {
  return all <= some ? Number.POSITIVE_INFINITY : -all * Math.log(1 - some / all)
}
