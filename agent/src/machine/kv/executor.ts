import type { Database } from 'better-sqlite3'
import { unreachable } from '../../lib/assert.ts'
import type { Result } from '../state-machine.ts'
import { encodeOutcome, type Reason } from './answer.ts'
import type { ChangeRecorder } from './change.ts'
import type { KvCommand } from './command.ts'
import type { Expiry } from './expiry.ts'
import { LockSessions } from './lock-sessions.ts'
import { Rows } from './rows.ts'
import type { NewSession } from './session.ts'
import { Steps } from './steps.ts'
import { Transactions } from './transactions.ts'

const DONE: Result = { kind: 'done', value: null }

/** Carries commands out, on the connection and inside the transaction of whoever calls. */
export class Executor {
  readonly rows: Rows
  readonly sessions: LockSessions
  readonly transactions: Transactions
  readonly #recorder: ChangeRecorder

  constructor(db: Database, recorder: ChangeRecorder) {
    this.#recorder = recorder
    this.rows = new Rows(db)
    this.sessions = new LockSessions(db)
    const steps = new Steps(this.rows, this.sessions, recorder)
    this.transactions = new Transactions(db, steps, recorder)
  }

  /** @param index of the entry */
  run(command: KvCommand, index: number): Result {
    switch (command.kind) {
      case 'set':
        for (const { key, value } of command.pairs) {
          this.#recorder.set(key, this.rows.putPlain(key, value, index))
        }
        return DONE
      case 'delete':
        if (this.rows.delete(command.key, index)) this.#recorder.delete(command.key)
        return DONE
      case 'transaction':
        return done(encodeOutcome(this.transactions.run(command.operations, index)))
      case 'create-session':
        return this.#createSession(command.session, index)
      case 'renew-session':
        return this.#renewSession(command.id, index)
      case 'destroy-session':
        this.#endSession(command.id, index)
        return DONE
      case 'expire':
        for (const expiry of command.expiries) this.#expire(expiry, index)
        return DONE
      default:
        return unreachable(command)
    }
  }

  /** An id that is taken: the same request came twice, and has its session already. */
  #createSession(session: NewSession, index: number): Result {
    if (!this.sessions.create(session, index)) return DONE
    this.#recorder.session()
    this.#sessionLives(session, index)
    return DONE
  }

  #renewSession(id: string, index: number): Result {
    const session = this.sessions.get(id)
    if (session === null) return refused('no-session')
    this.sessions.renew(id, index)
    this.#sessionLives(session, index)
    return DONE
  }

  #sessionLives({ id, ttlMs }: NewSession, index: number): void {
    if (ttlMs === 0) return
    this.#recorder.lives({ what: 'session', id: Buffer.from(id), index, lifetimeMs: ttlMs })
  }

  /** Its locks are let go, or their keys go with it; either way nobody gets them before the delay is over. */
  #endSession(id: string, index: number): void {
    const session = this.sessions.get(id)
    if (session === null) return
    for (const row of this.rows.heldBy(id)) {
      if (session.behavior === 'delete') {
        this.rows.delete(row.key, index)
        this.#recorder.delete(row.key)
      } else {
        const released = { ...row, session: '', modifyIndex: index }
        this.rows.put(released)
        this.#recorder.set(row.key, released)
      }
      if (session.lockDelayMs > 0) {
        this.sessions.beginDelay(row.key, session.lockDelayMs, index)
        const lifetimeMs = session.lockDelayMs
        this.#recorder.lives({ what: 'lock-delay', id: row.key, index, lifetimeMs })
      }
    }
    this.sessions.delete(id, index)
    this.#recorder.session()
  }

  /** Renewed or made anew since the leader looked: it lives on. */
  #expire(expiry: Expiry, index: number): void {
    switch (expiry.what) {
      case 'session': {
        const id = Buffer.from(expiry.id).toString('latin1')
        if (this.sessions.get(id)?.renewIndex === expiry.index) this.#endSession(id, index)
        return
      }
      case 'key': {
        const row = this.rows.get(expiry.id)
        if (row === null || row.ttlMs === 0 || row.modifyIndex !== expiry.index) return
        this.rows.delete(expiry.id, index)
        this.#recorder.delete(expiry.id)
        return
      }
      case 'lock-delay':
        this.sessions.endDelay(expiry.id, expiry.index)
        return
      default:
        unreachable(expiry.what)
    }
  }
}

function done(value: Uint8Array): Result {
  return { kind: 'done', value }
}

function refused(reason: Reason): Result {
  return done(encodeOutcome({ kind: 'failures', failures: [{ step: 0, reason }] }))
}
