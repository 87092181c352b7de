import type { Database, Statement, Transaction } from 'better-sqlite3'
import { assert, unreachable } from '../../lib/assert.ts'
import { DecodeError } from '../../lib/bytes.ts'
import type { LogIndex, LogPosition } from '../../raft/types.ts'
import { countApplied } from '../position.ts'
import type { CommittedEntry, Result } from '../state-machine.ts'
import { decodeCommand, type KvCommand } from './command.ts'
import type { KvAnswer, KvRow } from './query.ts'
import type { OpenedDatabase } from './schema.ts'
import { Sessions } from './sessions.ts'

const DONE: Result = { kind: 'done', value: null }
const UNDECODABLE: Result = { kind: 'rejected', code: 'UNDECODABLE' }

type Run = (entries: readonly CommittedEntry[], skipped: number) => (Result | null)[]

/** The tables behind a KvMachine: all that runs on the writer's connection, and none of it waits. */
export class KvStore {
  readonly #db: Database
  readonly #upsert: Statement<[Uint8Array, Uint8Array, number, number]>
  readonly #delete: Statement<[Uint8Array]>
  readonly #get: Statement<[Uint8Array], KvRow>
  readonly #stored: Statement<[], { index: number; term: number; timeMs: number }>
  readonly #advance: Statement<[number, number, number, number]>
  readonly #sessions: Sessions
  readonly #transaction: Transaction<Run>
  /** what `_raft` holds; changes only after a COMMIT */
  #applied: LogPosition

  constructor({ db, applied }: OpenedDatabase) {
    this.#db = db
    this.#applied = applied
    this.#upsert = db.prepare(
      `INSERT INTO kv(key, value, create_index, modify_index) VALUES(?, ?, ?, ?)
       ON CONFLICT(key) DO UPDATE SET value = excluded.value, modify_index = excluded.modify_index`,
    )
    this.#delete = db.prepare('DELETE FROM kv WHERE key = ?')
    this.#get = db.prepare(
      'SELECT value, create_index AS createIndex, modify_index AS modifyIndex FROM kv WHERE key = ?',
    )
    this.#stored = db.prepare(
      'SELECT applied_index AS "index", applied_term AS term, time_ms AS timeMs FROM _raft',
    )
    this.#advance = db.prepare(
      'UPDATE _raft SET applied_index = ?, applied_term = ?, time_ms = ?, sessions = ?',
    )
    this.#sessions = new Sessions(db)
    this.#transaction = db.transaction<Run>((entries, skipped) => this.#run(entries, skipped))
  }

  get applied(): LogPosition {
    return this.#applied
  }

  /** As `StateMachine.apply`. Any error rolls the whole batch back. */
  apply(entries: readonly CommittedEntry[]): (Result | null)[] {
    const skipped = countApplied(this.#applied, entries)
    const last = entries.at(-1)
    if (last === undefined || skipped === entries.length) return entries.map(() => null)
    const results = this.#transaction.immediate(entries, skipped)
    this.#applied = last.position
    return results
  }

  get(key: Uint8Array): KvAnswer {
    return { applied: this.#applied, row: this.#get.get(key) ?? null }
  }

  close(): void {
    this.#db.close()
  }

  #run(entries: readonly CommittedEntry[], skipped: number): (Result | null)[] {
    const stored = this.#stored.get()
    const same = stored?.index === this.#applied.index && stored.term === this.#applied.term
    assert(same, 'the stored position is the one that this process wrote')
    const results: (Result | null)[] = []
    const log = { nowMs: stored.timeMs, count: this.#sessions.count() }
    let position = this.#applied
    for (const [at, entry] of entries.entries()) {
      results.push(at < skipped ? null : this.#applyOnce(entry, log))
      position = entry.position
    }
    const { changes } = this.#advance.run(position.index, position.term, log.nowMs, log.count)
    assert(changes === 1, 'the position has one row')
    return results
  }

  /** The log's time never falls, whatever the leaders' clocks did. */
  #applyOnce(entry: CommittedEntry, log: { nowMs: number; count: number }): Result {
    log.nowMs = Math.max(log.nowMs, entry.timeMs)
    if (entry.idempotency === null) return this.#applyOne(entry)
    const once = this.#sessions.once(entry.idempotency, log, () => this.#applyOne(entry))
    log.count = once.count
    return once.result
  }

  #applyOne({ command, position }: CommittedEntry): Result {
    if (command === null) return DONE
    const decoded = tryDecode(command)
    if (decoded === null) return UNDECODABLE
    this.#execute(decoded, position.index)
    return DONE
  }

  #execute(command: KvCommand, index: LogIndex): void {
    switch (command.kind) {
      case 'set':
        for (const { key, value } of command.pairs) this.#upsert.run(key, value, index, index)
        return
      case 'delete':
        this.#delete.run(command.key)
        return
      default:
        unreachable(command)
    }
  }
}

/** Null when undecodable: the only failure that every replica shares, known before anything was changed. */
function tryDecode(command: Uint8Array): KvCommand | null {
  try {
    return decodeCommand(command)
  } catch (error) {
    if (error instanceof DecodeError) return null
    throw error
  }
}
