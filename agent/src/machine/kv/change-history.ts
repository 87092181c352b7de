import type { Database, Statement } from 'better-sqlite3'
import { ByteReader, ByteWriter, DecodeError } from '../../lib/bytes.ts'
import type { EntryChanges } from './change.ts'
import { decodeChanges } from './change-codec.ts'
import type { ChangeFeed, History } from './change-feed.ts'

/**
 * What the feed keeps, beside the keys: in parts, some for each commit, by the index of their last entry, and under
 * 0 how far back and how far on they go. Who commits when decides where one ends: replicas differ in it.
 */
export const CHANGES_TABLE = `CREATE TABLE kv_changes(
    upto INTEGER PRIMARY KEY NOT NULL,
    body BLOB NOT NULL
  ) STRICT`

const EXTENT = 0
/** What it takes to forget a part, in bytes that are written in the same time; most are of this size. */
const FORGET_BYTES = 64 * 1024
/** What one commit adds at most, bytes: where more than that is changed at a time, little of it would be kept for long. */
const PART_BYTES_MAX = 8 * 1024 * 1024

interface Part {
  readonly upto: number
  readonly body: Uint8Array
}

interface Statements {
  readonly all: Statement<[], Part>
  readonly put: Statement<[number, Uint8Array]>
  readonly forget: Statement<[number]>
  readonly forgetAll: Statement<[]>
}

/** Keeps the feed across restarts, snapshots and backups: in the transactions of what it tells of. */
export class ChangeHistory {
  readonly #db: Database
  readonly #feed: ChangeFeed
  /** null: a database of an earlier version, which gets its table with the first commit */
  #statements: Statements | null = null
  /** index up to which the parts go */
  #saved = 0
  /** the feed's count of bytes then */
  #savedBytes = 0
  /** the parts up to here go, or are gone */
  #since = 0
  /** what was changed before it is not in the parts */
  #floor = 0
  /** the parts are of another past: they go with the first commit */
  #foreign = false
  /** up to `#saved`, and not in the table yet; the next one is the last */
  #pending: Part[] = []

  constructor(db: Database, feed: ChangeFeed) {
    this.#db = db
    this.#feed = feed
  }

  /** The feed begins with what the tables hold as of `applied`, if they hold what led to it. Writes nothing. */
  load(applied: number): void {
    const table = this.#db.prepare('SELECT 1 FROM sqlite_schema WHERE name = ?')
    this.#statements = table.get('kv_changes') === undefined ? null : prepare(this.#db)
    const history = this.#read(applied)
    this.#feed.restart(applied, history)
    this.#saved = applied
    this.#savedBytes = this.#feed.published
    this.#since = this.#feed.since
    this.#floor = this.#since
    this.#foreign = history === undefined
    this.#pending = []
  }

  /** Bytes that the feed was given since the last `gather`. */
  get unsaved(): number {
    return this.#feed.published - this.#savedBytes
  }

  /** What was published since the last time is to be saved; `index` is that of the last entry. Writes nothing. */
  gather(index: number): void {
    const { published } = this.#feed
    if (published !== this.#savedBytes) {
      const part = this.#feed.newest(this.#saved, PART_BYTES_MAX)
      this.#pending = [...part.pieces.toReversed(), ...this.#pending]
      if (part.since > this.#saved) this.#floor = part.since
    }
    this.#since = Math.max(this.#feed.since, this.#floor)
    this.#saved = index
    this.#savedBytes = published
  }

  /**
   * Writes what was gathered, in pieces, until they are so many bytes, and forgets what is too old.
   * @returns whether nothing is left
   */
  write(bytes: number): boolean {
    const { put, forget } = this.#ready()
    for (let left = bytes; left > 0; ) {
      const piece = this.#pending.pop()
      if (piece !== undefined) {
        put.run(piece.upto, piece.body)
        left -= piece.body.length
      } else if (forget.run(this.#since).changes > 0) left -= FORGET_BYTES
      else return true
    }
    return false
  }

  /** The transaction is about to be committed, as of when it was last gathered. */
  save(): void {
    this.write(Number.POSITIVE_INFINITY)
    const { put } = this.#ready()
    put.run(EXTENT, new ByteWriter(16).f64(this.#since).f64(this.#saved).view())
  }

  #ready(): Statements {
    if (this.#statements === null) {
      this.#db.exec(CHANGES_TABLE)
      this.#statements = prepare(this.#db)
    }
    if (this.#foreign) this.#statements.forgetAll.run()
    this.#foreign = false
    return this.#statements
  }

  /** Undefined: the tables came to be as they are otherwise than by the changes that they hold. */
  #read(applied: number): History | undefined {
    const [extent, ...parts] = this.#statements?.all.all() ?? []
    if (extent?.upto !== EXTENT) return applied === 0 ? { since: 0, entries: [] } : undefined
    try {
      const reader = new ByteReader(extent.body)
      const [since, upto] = [reader.f64(), reader.f64()]
      if (upto !== applied || since > upto) return undefined
      const entries = parts.flatMap(({ body }) => decodeChanges(body))
      requireOrder(entries, applied)
      return { since, entries: entries.filter(({ index }) => index > since) }
    } catch (error) {
      if (error instanceof DecodeError) return undefined
      throw error
    }
  }
}

function prepare(db: Database): Statements {
  return {
    all: db.prepare('SELECT upto, body FROM kv_changes ORDER BY upto'),
    put: db.prepare('INSERT OR REPLACE INTO kv_changes VALUES(?, ?)'),
    forget: db.prepare(
      `DELETE FROM kv_changes WHERE upto =
         (SELECT min(upto) FROM kv_changes WHERE upto > ${EXTENT} AND upto <= ?)`,
    ),
    forgetAll: db.prepare(`DELETE FROM kv_changes WHERE upto <> ${EXTENT}`),
  }
}

function requireOrder(entries: readonly EntryChanges[], applied: number): void {
  let last = 0
  for (const { index } of entries) {
    if (index <= last || index > applied) throw new DecodeError(`entry ${index} behind ${last}`)
    last = index
  }
}
