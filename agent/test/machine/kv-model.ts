import { DecodeError } from '../../src/lib/bytes.ts'
import {
  type AnsweredRow,
  encodeOutcome,
  type Failure,
  type Reason,
} from '../../src/machine/kv/answer.ts'
import { decodeCommand, type KvCommand } from '../../src/machine/kv/command.ts'
import type { Expiry } from '../../src/machine/kv/expiry.ts'
import type { Operation, Verb } from '../../src/machine/kv/operation.ts'
import type { Session } from '../../src/machine/kv/session.ts'
import type { CommittedEntry, Result } from '../../src/machine/state-machine.ts'
import type { Model } from './state-machine.contract.ts'

/** A key as the model keeps it: bytes as hexadecimal text. */
export interface ModelRow {
  readonly value: string
  readonly createIndex: number
  readonly modifyIndex: number
  readonly lockIndex: number
  readonly flags: bigint
  readonly session: string
  readonly ttlMs: number
  readonly contentType: string
}

interface State {
  rows: Map<string, ModelRow>
  sessions: Map<string, Session>
  /** key → index of the entry that began the delay */
  delays: Map<string, number>
}

const NEW = { lockIndex: 0, flags: 0n, session: '', ttlMs: 0, contentType: '' }
const DONE: Result = { kind: 'done', value: null }

/** What the commands mean, on plain maps: a transaction works on a copy, which counts only if nothing failed. */
export class KvModel implements Model {
  #state: State = { rows: new Map(), sessions: new Map(), delays: new Map() }

  apply({ position, command }: CommittedEntry): Result {
    if (command === null) return DONE
    try {
      return this.#run(decodeCommand(command), position.index)
    } catch (error) {
      if (error instanceof DecodeError) return { kind: 'rejected', code: 'UNDECODABLE' }
      throw error
    }
  }

  dump(): unknown {
    const { rows, sessions, delays } = this.#state
    const sorted = <T>(map: Map<string, T>): [string, T][] =>
      [...map].sort(([a], [b]) => (a < b ? -1 : 1))
    return { rows: sorted(rows), sessions: sorted(sessions), delays: sorted(delays) }
  }

  #run(command: KvCommand, index: number): Result {
    const { rows, sessions } = this.#state
    switch (command.kind) {
      case 'set':
        for (const { key, value } of command.pairs) {
          const old = rows.get(hex(key))
          const kept = { lockIndex: old?.lockIndex ?? 0, session: old?.session ?? '' }
          const createIndex = old?.createIndex ?? index
          rows.set(hex(key), {
            ...NEW,
            ...kept,
            value: hex(value),
            createIndex,
            modifyIndex: index,
          })
        }
        return DONE
      case 'delete':
        rows.delete(hex(command.key))
        return DONE
      case 'transaction':
        return this.#transaction(command.operations, index)
      case 'create-session': {
        const { session } = command
        if (!sessions.has(session.id)) {
          sessions.set(session.id, { ...session, createIndex: index, renewIndex: index })
        }
        return DONE
      }
      case 'renew-session': {
        const session = sessions.get(command.id)
        if (session === undefined) return failed([{ step: 0, reason: 'no-session' }])
        sessions.set(command.id, { ...session, renewIndex: index })
        return DONE
      }
      case 'destroy-session':
        this.#end(command.id, index)
        return DONE
      case 'expire':
        for (const expiry of command.expiries) this.#expire(expiry, index)
        return DONE
    }
  }

  #transaction(operations: readonly Operation[], index: number): Result {
    const copy: State = { ...this.#state, rows: new Map(this.#state.rows) }
    const answered: AnsweredRow[] = []
    const failures: Failure[] = []
    for (const [step, operation] of operations.entries()) {
      const answer = runStep(copy, operation, index)
      if (typeof answer === 'string') failures.push({ step, reason: answer })
      else answered.push(...answer.map(key => answeredRow(copy, key, operation.verb)))
    }
    if (failures.length > 0) return failed(failures)
    this.#state = copy
    return { kind: 'done', value: encodeOutcome({ kind: 'rows', rows: answered }) }
  }

  #end(id: string, index: number): void {
    const { rows, sessions, delays } = this.#state
    const session = sessions.get(id)
    if (session === undefined) return
    for (const [key, row] of [...rows]) {
      if (row.session !== id) continue
      if (session.behavior === 'delete') rows.delete(key)
      else rows.set(key, { ...row, session: '', modifyIndex: index })
      if (session.lockDelayMs > 0) delays.set(key, index)
    }
    sessions.delete(id)
  }

  #expire({ what, id, index: expected }: Expiry, index: number): void {
    const { rows, sessions, delays } = this.#state
    const name = Buffer.from(id).toString('latin1')
    if (what === 'session') {
      if (sessions.get(name)?.renewIndex === expected) this.#end(name, index)
    } else if (what === 'lock-delay') {
      if (delays.get(hex(id)) === expected) delays.delete(hex(id))
    } else {
      const row = rows.get(hex(id))
      if (row !== undefined && row.ttlMs > 0 && row.modifyIndex === expected) rows.delete(hex(id))
    }
  }
}

interface Context {
  readonly state: State
  readonly step: Operation
  readonly key: string
  readonly row: ModelRow | undefined
  /** keys that begin with this one */
  readonly below: readonly string[]
  readonly write: (session: string, lockIndex?: number) => string[]
}

/** Keys of the rows that the step answers, or why it fails. */
const STEPS: Readonly<Record<Verb, (context: Context) => readonly string[] | Reason>> = {
  set: ({ row, write }) => write(row?.session ?? ''),
  cas: ({ row, step, write }) =>
    (row?.modifyIndex ?? 0) === step.index ? write(row?.session ?? '') : 'stale-index',
  lock: ({ state, row, step, key, write }) => {
    if (!state.sessions.has(step.session)) return 'no-session'
    if (row?.session === step.session) return write(step.session)
    if (row !== undefined && row.session !== '') return 'locked'
    return state.delays.has(key) ? 'lock-delay' : write(step.session, (row?.lockIndex ?? 0) + 1)
  },
  unlock: ({ row, step, write }) =>
    row !== undefined && row.session !== '' && row.session === step.session
      ? write('')
      : 'not-locked',
  delete: ({ state, key }) => remove(state, [key]),
  'delete-tree': ({ state, below }) => remove(state, below),
  'delete-cas': ({ state, row, step, key }) =>
    row === undefined || row.modifyIndex === step.index ? remove(state, [key]) : 'stale-index',
  'get-tree': ({ below }) => below,
  'get-or-empty': ({ row, key }) => (row === undefined ? [] : [key]),
  'check-not-exists': ({ row }) => (row === undefined ? [] : 'key-exists'),
  get: ({ row, key }) => (row === undefined ? 'no-key' : [key]),
  'check-index': ({ row, step, key }) =>
    row === undefined ? 'no-key' : row.modifyIndex === step.index ? [key] : 'stale-index',
  'check-session': ({ row, step, key }) =>
    row === undefined ? 'no-key' : row.session === step.session ? [key] : 'other-session',
}

function runStep(state: State, step: Operation, index: number): readonly string[] | Reason {
  const { rows } = state
  const key = hex(step.key)
  const row = rows.get(key)
  const write = (session: string, lockIndex = row?.lockIndex ?? 0): string[] => {
    const next = written(step, row, index, { session, lockIndex })
    if (row === undefined || step.verb === 'unlock' || !sameContent(row, next)) rows.set(key, next)
    return [key]
  }
  const below = [...rows.keys()].filter(one => one.startsWith(key)).sort()
  return STEPS[step.verb]({ state, step, key, row, below, write })
}

function written(
  step: Operation,
  row: ModelRow | undefined,
  index: number,
  lock: Pick<ModelRow, 'session' | 'lockIndex'>,
): ModelRow {
  const { value, flags, ttlMs, contentType } = step
  const createIndex = row?.createIndex ?? index
  return { value: hex(value), createIndex, modifyIndex: index, flags, ttlMs, contentType, ...lock }
}

/** A write that changes nothing is none, unless it begins a lifetime anew. */
function sameContent(row: ModelRow, next: ModelRow): boolean {
  const show = (one: ModelRow): string =>
    [one.value, one.flags, one.session, one.contentType].join('|')
  return row.ttlMs === 0 && next.ttlMs === 0 && show(row) === show(next)
}

function remove({ rows }: State, keys: readonly string[]): [] {
  for (const key of keys) rows.delete(key)
  return []
}

function answeredRow({ rows }: State, key: string, verb: string): AnsweredRow {
  const row = rows.get(key)
  if (row === undefined) throw new Error('a row that is answered is there')
  const { ttlMs: _, contentType: __, value, ...rest } = row
  const bytes = Buffer.from(value, 'hex')
  return { ...rest, key: Buffer.from(key, 'hex'), value: verb.startsWith('get') ? bytes : null }
}

function failed(failures: readonly Failure[]): Result {
  return { kind: 'done', value: encodeOutcome({ kind: 'failures', failures }) }
}

export function hex(value: Uint8Array): string {
  return Buffer.from(value).toString('hex')
}
