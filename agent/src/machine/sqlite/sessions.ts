import type { Database, Statement } from 'better-sqlite3'
import type { Idempotency, Result } from '../state-machine.ts'

/** How long the answer to a request is remembered, ms of the log's time. The same on every node: it alters results. */
export const SESSION_LIFETIME_MS = 24 * 60 * 60 * 1000
/** At most so many are remembered; beyond, the oldest goes. */
export const SESSIONS_MAX = 100_000

const KEY_REUSED: Result = { kind: 'rejected', code: 'KEY_REUSED' }

interface Row {
  readonly requestHash: Uint8Array
  readonly code: string | null
  readonly value: Uint8Array | null
  readonly timeMs: number
}

/**
 * Answers by `Idempotency-Key`, in the same transaction as their effects: a request that comes again
 * after an answer got lost gets the first answer, and has no second effect. Everything is decided
 * entry by entry and by the log's own time, so that every replica forgets the same ones.
 */
export class Sessions {
  readonly #find: Statement<[string], Row>
  readonly #remember: Statement<[string, Uint8Array, string | null, Uint8Array | null, number]>
  readonly #forgetExpired: Statement<[number]>
  readonly #forgetOldest: Statement<[]>

  constructor(db: Database) {
    this.#find = db.prepare(
      'SELECT request_hash AS requestHash, code, value, time_ms AS timeMs FROM _sessions WHERE key = ?',
    )
    this.#remember = db.prepare(
      'INSERT OR REPLACE INTO _sessions(key, request_hash, code, value, time_ms) VALUES(?, ?, ?, ?, ?)',
    )
    // Two for one: the table shrinks although each entry does little.
    this.#forgetExpired = db.prepare(
      `DELETE FROM _sessions WHERE key IN (
         SELECT key FROM _sessions WHERE time_ms <= ? ORDER BY time_ms, key LIMIT 2)`,
    )
    this.#forgetOldest = db.prepare(
      'DELETE FROM _sessions WHERE key IN (SELECT key FROM _sessions ORDER BY time_ms, key LIMIT 1)',
    )
  }

  /** Runs `execute` unless this request was answered before; `count` is how many are remembered now. */
  once(
    { key, requestHash }: Idempotency,
    { nowMs, count }: { readonly nowMs: number; readonly count: number },
    execute: () => Result,
  ): { readonly result: Result; readonly count: number } {
    const expiry = nowMs - SESSION_LIFETIME_MS
    const known = this.#find.get(key)
    if (known !== undefined && known.timeMs > expiry) {
      return {
        result: sameBytes(known.requestHash, requestHash) ? resultOf(known) : KEY_REUSED,
        count,
      }
    }
    const result = execute()
    const code = result.kind === 'rejected' ? result.code : null
    const value = result.kind === 'done' ? result.value : null
    this.#remember.run(key, requestHash, code, value, nowMs)
    let left = known === undefined ? count + 1 : count
    left -= this.#forgetExpired.run(expiry).changes
    if (left > SESSIONS_MAX) left -= this.#forgetOldest.run().changes
    return { result, count: left }
  }
}

function resultOf({ code, value }: Row): Result {
  return code === null ? { kind: 'done', value } : { kind: 'rejected', code }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at])
}
