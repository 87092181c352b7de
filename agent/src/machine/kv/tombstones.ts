import type { Database, Statement } from 'better-sqlite3'
import type { Scope } from './query.ts'

/** So many deletions are remembered one by one. */
export const TOMBSTONES_MAX = 10_000

interface Extent {
  readonly newest: number | null
}

/**
 * When keys were deleted: without it, a reader that waits for changes of a key or a prefix could not
 * be told which index it has seen. The oldest are forgotten; what they covered then counts as changed
 * when the youngest of them was, which at worst wakes a reader for nothing.
 */
export class Tombstones {
  readonly #extent: Statement<[], Extent>
  readonly #add: Statement<[number, Uint8Array, number, number]>
  readonly #forget: Statement<[number]>
  readonly #floor: Statement<[number], { readonly index: number }>
  readonly #ofKey: Statement<[Uint8Array], { readonly index: number | null }>
  readonly #below: Statement<[Uint8Array, Uint8Array], { readonly index: number | null }>
  readonly #open: Statement<[Uint8Array], { readonly index: number | null }>
  readonly #trees: Statement<[Uint8Array], { readonly index: number | null }>

  constructor(db: Database) {
    this.#extent = db.prepare('SELECT max(seq) AS newest FROM tombstones')
    this.#add = db.prepare('INSERT INTO tombstones VALUES(?, ?, ?, ?)')
    this.#forget = db.prepare('DELETE FROM tombstones WHERE seq <= ?')
    this.#floor = db.prepare('SELECT delete_index AS "index" FROM tombstones WHERE seq = ?')
    this.#ofKey = db.prepare('SELECT max(delete_index) AS "index" FROM tombstones WHERE key = ?')
    const within = 'SELECT max(delete_index) AS "index" FROM tombstones WHERE key >= ?'
    this.#below = db.prepare(`${within} AND key < ?`)
    this.#open = db.prepare(within)
    // substr() of a BLOB counts bytes.
    this.#trees = db.prepare(
      'SELECT max(delete_index) AS "index" FROM tombstones WHERE tree = 1 AND substr(?, 1, length(key)) = key',
    )
  }

  add({ kind, bytes }: Scope, index: number): void {
    const seq = this.#newest() + 1
    this.#add.run(seq, bytes, kind === 'prefix' ? 1 : 0, index)
    this.#forget.run(seq - TOMBSTONES_MAX)
  }

  /** Index of the last deletion within `scope`, as far as it is known; never below the true one. */
  lastWithin(scope: Scope, end: Uint8Array | null): number {
    return Math.max(
      this.#within(scope, end),
      this.#trees.get(scope.bytes)?.index ?? 0,
      this.#forgotten(),
    )
  }

  #within({ kind, bytes }: Scope, end: Uint8Array | null): number {
    if (kind === 'key') return this.#ofKey.get(bytes)?.index ?? 0
    const found = end === null ? this.#open.get(bytes) : this.#below.get(bytes, end)
    return found?.index ?? 0
  }

  #newest(): number {
    return this.#extent.get()?.newest ?? 0
  }

  /** The oldest that is kept is no older than the last that was forgotten. */
  #forgotten(): number {
    const oldest = this.#newest() - TOMBSTONES_MAX + 1
    return oldest <= 1 ? 0 : (this.#floor.get(oldest)?.index ?? 0)
  }
}
