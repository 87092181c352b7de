import { unreachable } from '../../lib/assert.ts'
import type { Reason } from './answer.ts'
import type { ChangeRecorder } from './change.ts'
import type { LockSessions } from './lock-sessions.ts'
import type { Operation } from './operation.ts'
import type { KeptRow } from './row.ts'
import type { Rows } from './rows.ts'

/** What a step answers: rows, or why it cannot be. A step that fails has changed nothing. */
export type StepAnswer = readonly KeptRow[] | Reason

const NOTHING: readonly KeptRow[] = []

/** The verbs of transactions, one by one. */
export class Steps {
  readonly #rows: Rows
  readonly #sessions: LockSessions
  readonly #recorder: ChangeRecorder

  constructor(rows: Rows, sessions: LockSessions, recorder: ChangeRecorder) {
    this.#rows = rows
    this.#sessions = sessions
    this.#recorder = recorder
  }

  /** @param index of the entry; of no meaning to steps that only read */
  run(step: Operation, index: number): StepAnswer {
    const row = this.#rows.get(step.key)
    switch (step.verb) {
      case 'set':
        return this.#write(step, row, index)
      case 'cas':
        return this.#compareAndSet(step, row, index)
      case 'lock':
        return this.#lock(step, row, index)
      case 'unlock':
        return this.#unlock(step, row, index)
      case 'delete':
        return this.#delete(step.key, index)
      case 'delete-cas':
        return this.#compareAndDelete(step, row, index)
      case 'delete-tree':
        return this.#deleteTree(step.key, index)
      case 'get-tree':
        return this.#rows.list(step.key) ?? 'too-large'
      case 'get-or-empty':
        return row === null ? NOTHING : [row]
      case 'check-not-exists':
        return row === null ? NOTHING : 'key-exists'
      case 'get':
      case 'check-index':
      case 'check-session':
        return row === null ? 'no-key' : (mismatch(step, row) ?? [row])
      default:
        return unreachable(step.verb)
    }
  }

  /** A write of what is there already is none: its readers are not woken, and its index stays. */
  #write(step: Operation, row: KeptRow | null, index: number): StepAnswer {
    const next = written(step, row, index)
    return row !== null && sameContent(row, next) ? [row] : this.#put(next)
  }

  #lock(step: Operation, row: KeptRow | null, index: number): StepAnswer {
    if (this.#sessions.get(step.session) === null) return 'no-session'
    const next = { ...written(step, row, index), session: step.session }
    if (row !== null && row.session === step.session) {
      return sameContent(row, next) ? [row] : this.#put(next)
    }
    if (row !== null && row.session !== '') return 'locked'
    if (this.#sessions.delayed(step.key)) return 'lock-delay'
    return this.#put({ ...next, lockIndex: next.lockIndex + 1 })
  }

  #compareAndSet(step: Operation, row: KeptRow | null, index: number): StepAnswer {
    const matches = (row?.modifyIndex ?? 0) === step.index
    return matches ? this.#write(step, row, index) : 'stale-index'
  }

  /** None is what was wanted, as in Consul; index 0 names no key. */
  #compareAndDelete(step: Operation, row: KeptRow | null, index: number): StepAnswer {
    if (row === null) return NOTHING
    return row.modifyIndex === step.index ? this.#delete(step.key, index) : 'stale-index'
  }

  #unlock(step: Operation, row: KeptRow | null, index: number): StepAnswer {
    if (row === null || row.session === '' || row.session !== step.session) return 'not-locked'
    return this.#put({ ...written(step, row, index), session: '' })
  }

  #deleteTree(prefix: Uint8Array, index: number): StepAnswer {
    const keys = this.#rows.deleteTree(prefix, index)
    if (keys === null) return 'too-many'
    for (const key of keys) this.#recorder.delete(key)
    return NOTHING
  }

  #put(row: KeptRow): StepAnswer {
    const { key, ttlMs, modifyIndex } = row
    this.#rows.put(row)
    this.#recorder.set(key, row)
    if (ttlMs > 0)
      this.#recorder.lives({ what: 'key', id: key, index: modifyIndex, lifetimeMs: ttlMs })
    return [row]
  }

  #delete(key: Uint8Array, index: number): StepAnswer {
    if (this.#rows.delete(key, index)) this.#recorder.delete(key)
    return NOTHING
  }
}

/** The row after a write; who holds its lock stays. */
function written(step: Operation, row: KeptRow | null, index: number): KeptRow {
  return {
    key: step.key,
    value: step.value,
    flags: step.flags,
    createIndex: row?.createIndex ?? index,
    modifyIndex: index,
    lockIndex: row?.lockIndex ?? 0,
    session: row?.session ?? '',
    ttlMs: step.ttlMs,
    contentType: step.contentType,
  }
}

/** One that lives for a while only is always written: its life begins anew. */
function sameContent(row: KeptRow, next: KeptRow): boolean {
  if (row.ttlMs !== 0 || next.ttlMs !== 0) return false
  if (row.flags !== next.flags || row.session !== next.session) return false
  return row.contentType === next.contentType && Buffer.compare(row.value, next.value) === 0
}

/** Null when the row is as the step wants it. */
function mismatch({ verb, index, session }: Operation, row: KeptRow): Reason | null {
  if (verb === 'check-index' && row.modifyIndex !== index) return 'stale-index'
  if (verb === 'check-session' && row.session !== session) return 'other-session'
  return null
}
