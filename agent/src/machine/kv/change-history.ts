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
  /** the parts up to here are gone */
  #since = 0
  /** what was changed before it is not in the parts */
  #floor = 0
  /** the parts are of another past: they go with the first commit */
  #foreign = false

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
  }

  /** Bytes that the feed was given since the last `save`. */
  get unsaved(): number {
    return this.#feed.published - this.#savedBytes
  }

  /** The transaction is about to be committed, as of `index`. */
  save(index: number): void {
    const { put, forget } = this.#ready()
    const { published } = this.#feed
    if (published !== this.#savedBytes) {
      const part = this.#feed.newest(this.#saved, PART_BYTES_MAX)
      for (const { upto, body } of part.pieces) put.run(upto, body)
      if (part.since > this.#saved) this.#floor = part.since
    }
    const since = Math.max(this.#feed.since, this.#floor)
    if (since > this.#since) forget.run(since)
    this.#since = since
    this.#saved = index
    this.#savedBytes = published
    put.run(EXTENT, new ByteWriter(16).f64(since).f64(index).view())
  }

  #ready(): Statements {
    if (this.#statements === null) {
      this.#db.exec(CHANGES_TABLE)
      this.#statements = prepare(this.#db)
    }
    if (this.#foreign) this.#statements.forget.run(Number.MAX_SAFE_INTEGER)
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
    forget: db.prepare(`DELETE FROM kv_changes WHERE upto <= ? AND upto <> ${EXTENT}`),
  }
}

function requireOrder(entries: readonly EntryChanges[], applied: number): void {
  let last = 0
  for (const { index } of entries) {
    if (index <= last || index > applied) throw new DecodeError(`entry ${index} behind ${last}`)
    last = index
  }
}
