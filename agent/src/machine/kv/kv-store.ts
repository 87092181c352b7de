import type { Database, Statement, Transaction } from 'better-sqlite3'
import { assert, unreachable } from '../../lib/assert.ts'
import { DecodeError } from '../../lib/bytes.ts'
import { crc32c } from '../../lib/crc32c.ts'
import type { LogIndex, LogPosition } from '../../raft/types.ts'
import { countApplied } from '../position.ts'
import type { CommittedEntry, Result } from '../state-machine.ts'
import { decodeCommand, type KvCommand } from './command.ts'
import type { KvAnswer, KvRow } from './query.ts'
import type { OpenedDatabase } from './schema.ts'
import { Sessions } from './sessions.ts'

/** The file does not hold what was written to it: the node stops, and the others have the data. */
class Damage extends Error {
  override readonly name = 'Damage'
}

const DONE: Result = { kind: 'done', value: null }
const UNDECODABLE: Result = { kind: 'rejected', code: 'UNDECODABLE' }

/** How far the machine is: what commits together with the data. */
interface Account {
  readonly position: LogPosition
  /** the log's time, Unix ms; never falls */
  readonly nowMs: number
  /** answers that are remembered */
  readonly sessions: number
}

interface Stored {
  readonly index: number
  readonly term: number
  readonly nowMs: number
  readonly sessions: number
}

type BatchEnd = Pick<Account, 'nowMs' | 'sessions'> & { readonly results: (Result | null)[] }
type Run = (entries: readonly CommittedEntry[], skipped: number) => BatchEnd

/** The tables behind a KvMachine: all that runs on the writer's connection, and none of it waits. */
export class KvStore {
  readonly #db: Database
  readonly #upsert: Statement<[Uint8Array, Uint8Array, number, number, number]>
  readonly #delete: Statement<[Uint8Array]>
  readonly #get: Statement<[Uint8Array], KvRow & { readonly checksum: number }>
  readonly #stored: Statement<[], Stored>
  readonly #advance: Statement<[number, number, number, number]>
  readonly #sessions: Sessions
  readonly #begin: Statement<[]>
  readonly #commit: Statement<[]>
  readonly #rollback: Statement<[]>
  /** one batch: a savepoint of the transaction that is open */
  readonly #batch: Transaction<Run>
  /** what queries see */
  #applied: Account
  /** what `_raft` holds; changes only after a COMMIT */
  #committed: Account

  constructor({ db, applied }: OpenedDatabase) {
    this.#db = db
    this.#upsert = db.prepare(
      `INSERT INTO kv(key, value, create_index, modify_index, checksum) VALUES(?, ?, ?, ?, ?)
       ON CONFLICT(key) DO UPDATE SET value = excluded.value, modify_index = excluded.modify_index,
         checksum = excluded.checksum`,
    )
    this.#delete = db.prepare('DELETE FROM kv WHERE key = ?')
    this.#get = db.prepare(
      'SELECT value, create_index AS createIndex, modify_index AS modifyIndex, checksum FROM kv WHERE key = ?',
    )
    this.#stored = db.prepare(
      'SELECT applied_index AS "index", applied_term AS term, time_ms AS nowMs, sessions FROM _raft',
    )
    this.#advance = db.prepare(
      'UPDATE _raft SET applied_index = ?, applied_term = ?, time_ms = ?, sessions = ?',
    )
    this.#sessions = new Sessions(db)
    this.#begin = db.prepare('BEGIN IMMEDIATE')
    this.#commit = db.prepare('COMMIT')
    this.#rollback = db.prepare('ROLLBACK')
    this.#batch = db.transaction<Run>((entries, skipped) => this.#run(entries, skipped))
    const { nowMs = 0, sessions = 0 } = this.#stored.get() ?? {}
    this.#applied = { position: applied, nowMs, sessions }
    this.#committed = this.#applied
  }

  get applied(): LogPosition {
    return this.#applied.position
  }

  /** Entries that queries see and a crash would take back: the log gives them again. */
  get uncommitted(): number {
    return this.#applied.position.index - this.#committed.position.index
  }

  /**
   * As `StateMachine.apply`. Any error rolls the whole batch back. Several batches share one
   * transaction: a page that many entries change is written once, not once a batch.
   */
  apply(entries: readonly CommittedEntry[]): (Result | null)[] {
    const skipped = countApplied(this.applied, entries)
    const last = entries.at(-1)
    if (last === undefined || skipped === entries.length) return entries.map(() => null)
    this.#open()
    try {
      const { results, nowMs, sessions } = this.#batch(entries, skipped)
      this.#applied = { position: last.position, nowMs, sessions }
      return results
    } catch (error) {
      // Some errors of the disk make SQLite take the whole transaction back by itself.
      if (!this.#db.inTransaction) this.#applied = this.#committed
      throw error
    }
  }

  /** Puts what was applied, and its position, into the file. */
  commit(): void {
    if (!this.#db.inTransaction) return
    try {
      const { position, nowMs, sessions } = this.#applied
      const { changes } = this.#advance.run(position.index, position.term, nowMs, sessions)
      assert(changes === 1, 'the position has one row')
      this.#commit.run()
      this.#committed = this.#applied
    } catch (error) {
      if (this.#db.inTransaction) this.#rollback.run()
      this.#applied = this.#committed
      throw error
    }
  }

  get(key: Uint8Array): KvAnswer {
    const found = this.#get.get(key)
    if (found === undefined) return { applied: this.applied, row: null }
    const { checksum, ...row } = found
    if (checksum !== checksumOf(key, row.value))
      throw new Damage('a value differs from its checksum')
    return { applied: this.applied, row }
  }

  close(): void {
    this.#db.close()
  }

  #open(): void {
    if (this.#db.inTransaction) return
    this.#begin.run()
    const stored = this.#stored.get()
    const { index, term } = this.#committed.position
    const same = stored?.index === index && stored.term === term
    assert(same, 'the stored position is the one that this process wrote')
  }

  #run(entries: readonly CommittedEntry[], skipped: number): BatchEnd {
    const results: (Result | null)[] = entries.slice(0, skipped).map(() => null)
    let { nowMs, sessions } = this.#applied
    for (const entry of entries.slice(skipped)) {
      // The log's time never falls, whatever the leaders' clocks did.
      nowMs = Math.max(nowMs, entry.timeMs)
      const once = this.#applyOnce(entry, { nowMs, count: sessions })
      sessions = once.count
      results.push(once.result)
    }
    return { results, nowMs, sessions }
  }

  #applyOnce(
    entry: CommittedEntry,
    log: { readonly nowMs: number; readonly count: number },
  ): { readonly result: Result; readonly count: number } {
    const { idempotency } = entry
    if (idempotency === null) return { result: this.#applyOne(entry), count: log.count }
    return this.#sessions.once(idempotency, log, () => this.#applyOne(entry))
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
        for (const { key, value } of command.pairs) {
          this.#upsert.run(key, value, index, index, checksumOf(key, value))
        }
        return
      case 'delete':
        this.#delete.run(command.key)
        return
      default:
        unreachable(command)
    }
  }
}

/** SQLite checks the shape of its pages, not the bytes of a value. */
function checksumOf(key: Uint8Array, value: Uint8Array): number {
  return crc32c(key) ^ crc32c(value)
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
