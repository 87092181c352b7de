import type { Database, Statement } from 'better-sqlite3'
import type { Lifetime } from './expiry.ts'
import type { NewSession, Session } from './session.ts'

const COLUMNS = `id, name, node, behavior, ttl_ms AS ttlMs, lock_delay_ms AS lockDelayMs,
  create_index AS createIndex, renew_index AS renewIndex`

/** Sessions that hold locks, the delays after their ends, and all that lives for a while only. */
export class LockSessions {
  readonly #get: Statement<[string], Session>
  readonly #all: Statement<[], Session>
  readonly #create: Statement<[string, string, string, string, number, number, number, number]>
  readonly #renew: Statement<[number, string]>
  readonly #delete: Statement<[string]>
  readonly #changed: Statement<[number]>
  readonly #lastChange: Statement<[], { readonly index: number }>
  readonly #delay: Statement<[Uint8Array, number, number]>
  readonly #delayOf: Statement<[Uint8Array], { readonly index: number }>
  readonly #endDelay: Statement<[Uint8Array, number]>
  readonly #lifetimes: Statement<[], Lifetime>

  constructor(db: Database) {
    this.#get = db.prepare(`SELECT ${COLUMNS} FROM lock_sessions WHERE id = ?`)
    this.#all = db.prepare(`SELECT ${COLUMNS} FROM lock_sessions ORDER BY id`)
    this.#create = db.prepare('INSERT INTO lock_sessions VALUES(?, ?, ?, ?, ?, ?, ?, ?)')
    this.#renew = db.prepare('UPDATE lock_sessions SET renew_index = ? WHERE id = ?')
    this.#delete = db.prepare('DELETE FROM lock_sessions WHERE id = ?')
    this.#changed = db.prepare('UPDATE session_change SET change_index = ?')
    this.#lastChange = db.prepare('SELECT change_index AS "index" FROM session_change')
    this.#delay = db.prepare('INSERT OR REPLACE INTO lock_delays VALUES(?, ?, ?)')
    this.#delayOf = db.prepare('SELECT begin_index AS "index" FROM lock_delays WHERE key = ?')
    this.#endDelay = db.prepare('DELETE FROM lock_delays WHERE key = ? AND begin_index = ?')
    this.#lifetimes = db.prepare(
      `SELECT 'session' AS what, CAST(id AS BLOB) AS id, renew_index AS "index", ttl_ms AS lifetimeMs
         FROM lock_sessions WHERE ttl_ms > 0
       UNION ALL SELECT 'key', key, modify_index, ttl_ms FROM kv WHERE ttl_ms > 0
       UNION ALL SELECT 'lock-delay', key, begin_index, delay_ms FROM lock_delays`,
    )
  }

  get(id: string): Session | null {
    return this.#get.get(id) ?? null
  }

  all(): Session[] {
    return this.#all.all()
  }

  /** Index of the entry that last made or ended one. */
  get lastChange(): number {
    return this.#lastChange.get()?.index ?? 0
  }

  /** @returns false when the id is taken */
  create(session: NewSession, index: number): boolean {
    if (this.get(session.id) !== null) return false
    const { id, name, node, behavior, ttlMs, lockDelayMs } = session
    this.#create.run(id, name, node, behavior, ttlMs, lockDelayMs, index, index)
    this.#changed.run(index)
    return true
  }

  renew(id: string, index: number): void {
    this.#renew.run(index, id)
  }

  delete(id: string, index: number): void {
    this.#delete.run(id)
    this.#changed.run(index)
  }

  /** Nobody may lock `key` until that has been ended. */
  beginDelay(key: Uint8Array, delayMs: number, index: number): void {
    this.#delay.run(key, delayMs, index)
  }

  endDelay(key: Uint8Array, index: number): boolean {
    return this.#endDelay.run(key, index).changes === 1
  }

  delayed(key: Uint8Array): boolean {
    return this.#delayOf.get(key) !== undefined
  }

  /** Everything that ends by itself. */
  lifetimes(): Lifetime[] {
    return this.#lifetimes.all()
  }
}
