import type { Database, Statement, Transaction } from 'better-sqlite3'
import { assert } from '../../lib/assert.ts'
import { asLogIndex, asTerm, type LogPosition } from '../../raft/types.ts'
import { Chain, type ChainMark } from '../chain.ts'
import { countApplied } from '../position.ts'
import type { Applied, CommittedEntry, Result } from '../state-machine.ts'
import { CommitPolicy } from './commit-policy.ts'
import type { Engine, EngineKind } from './engine.ts'
import { Sessions } from './sessions.ts'
import { SCHEMA_SQL } from './snapshot-worker.ts'

/** A commit may have so many rows to write that waited in memory. */
const LEFT_ROWS = 256

const DONE: Result = { kind: 'done', value: null }

/** How far the machine is: what commits together with the data. */
interface Account {
  readonly position: LogPosition
  readonly configuration: Uint8Array
  readonly chain: ChainMark
  /** the log's time, Unix ms; never falls */
  readonly nowMs: number
  /** answers that are remembered */
  readonly sessions: number
}

interface Stored extends Pick<Account, 'configuration' | 'nowMs' | 'sessions'> {
  readonly index: number
  readonly term: number
  readonly chain: Uint8Array
}

/** What `PRAGMA wal_checkpoint` answers. */
interface CheckpointRow {
  readonly busy: number
  readonly log: number
  readonly checkpointed: number
}

type BatchEnd = Pick<Account, 'nowMs' | 'sessions'> & { readonly results: (Result | null)[] }
type Run = (entries: readonly CommittedEntry[], skipped: number) => BatchEnd

/** The tables behind a SqliteMachine: all that runs on the writer's connection, and none of it waits. */
export class SqliteStore<Query, Answer> {
  readonly #db: Database
  readonly #kind: EngineKind<Query, Answer>
  readonly #engine: Engine<Query, Answer>
  readonly #stored: Statement<[], Stored>
  readonly #advance: Statement<[number, number, Uint8Array, Uint8Array, number, number]>
  readonly #sessions: Sessions
  readonly #begin: Statement<[]>
  readonly #commit: Statement<[]>
  readonly #rollback: Statement<[]>
  /** one batch in a savepoint of the transaction that is open */
  readonly #batch: Transaction<Run>
  readonly #chain: Chain
  readonly #policy: CommitPolicy
  /** what queries see */
  #applied: Account
  /** what `_raft` holds; changes only after a COMMIT */
  #committed: Account
  /** see `failure` */
  #failure: { readonly cause: unknown } | null = null

  /** @param db as `openDatabase` gave it; `close` closes it */
  constructor(db: Database, file: string | null, kind: EngineKind<Query, Answer>) {
    this.#db = db
    this.#kind = kind
    this.#engine = kind.open({
      db,
      file,
      commit: () => this.commit(),
      guarded: write => this.#wholly(write),
    })
    this.#stored = db.prepare(
      `SELECT applied_index AS "index", applied_term AS term, configuration, chain,
         time_ms AS nowMs, sessions FROM _raft`,
    )
    this.#advance = db.prepare(
      `UPDATE _raft SET applied_index = ?, applied_term = ?, configuration = ?, chain = ?,
         time_ms = ?, sessions = ?`,
    )
    this.#sessions = new Sessions(db)
    this.#begin = db.prepare('BEGIN IMMEDIATE')
    this.#commit = db.prepare('COMMIT')
    this.#rollback = db.prepare('ROLLBACK')
    this.#batch = db.transaction<Run>((entries, skipped) => this.#run(entries, skipped))
    this.#policy = new CommitPolicy(db)
    const stored = this.#stored.get()
    assert(stored !== undefined, 'the position has one row')
    const { index, term, configuration, chain, nowMs, sessions } = stored
    const position = { index: asLogIndex(index), term: asTerm(term) }
    this.#chain = new Chain(chain)
    this.#applied = { position, configuration, chain: this.#chain.mark(), nowMs, sessions }
    this.#committed = this.#applied
    this.#engine.opened(position)
    this.#policy.committed(this.#engine.bytesBeside)
  }

  /** Of the last entry that queries see. */
  get position(): LogPosition {
    return this.#applied.position
  }

  applied(): Applied {
    const { position, configuration } = this.#applied
    return { ...position, configuration, chainHash: this.#chain.hash() }
  }

  /** Whether it is time to commit: what was applied since would be taken back by a crash, and given again by the log. */
  get due(): boolean {
    const entries = this.#applied.position.index - this.#committed.position.index
    return this.#policy.isDue(entries, this.#engine.changed)
  }

  /** Whether a checkpoint is, too. */
  get walIsLong(): boolean {
    return this.#policy.walIsLong
  }

  /** One is over, whatever it has moved. */
  checkpointed(): void {
    this.#policy.checkpointed()
  }

  /** What took back more than one batch; null: nothing did. That was answered, so nothing may be read any more. */
  get failure(): { readonly cause: unknown } | null {
    return this.#failure
  }

  /**
   * As `StateMachine.apply`. Any error rolls the whole batch back. Several batches share one
   * transaction: a page that many entries change is written once, not once a batch.
   */
  apply(entries: readonly CommittedEntry[], configuration: Uint8Array): (Result | null)[] {
    const skipped = countApplied(this.position, entries)
    const last = entries.at(-1)
    if (last === undefined || skipped === entries.length) return entries.map(() => null)
    this.#open()
    try {
      const { results, nowMs, sessions } = this.#engine.keepsInMemory
        ? this.#wholly(() => this.#run(entries, skipped))
        : this.#batch(entries, skipped)
      const chain = this.#chain.mark()
      this.#applied = { position: last.position, configuration, chain, nowMs, sessions }
      this.#engine.applied(last.position, nowMs)
      return results
    } catch (error) {
      // Some errors of the disk make SQLite take the whole transaction back by itself.
      if (this.#db.inTransaction) this.#goBackTo(this.#applied)
      else this.#lose()
      throw error
    }
  }

  /**
   * Brings the next commit nearer: so many rows that wait in memory are written.
   * @returns whether it has few left to write itself
   */
  settle(rows: number): boolean {
    if (this.#engine.waiting > LEFT_ROWS) this.#wholly(() => this.#engine.flush(rows))
    return this.#engine.waiting <= LEFT_ROWS
  }

  /** Puts what was applied, and its position, into the file. */
  commit(): void {
    if (!this.#db.inTransaction) return
    this.#wholly(() => {
      const { position, configuration, nowMs, sessions } = this.#applied
      const { index, term } = position
      this.#engine.flush(Number.POSITIVE_INFINITY)
      this.#engine.committing(position)
      const chain = this.#chain.bytes()
      const { changes } = this.#advance.run(index, term, configuration, chain, nowMs, sessions)
      assert(changes === 1, 'the position has one row')
      this.#commit.run()
      this.#committed = this.#applied
      this.#policy.committed(this.#engine.bytesBeside)
    })
  }

  /**
   * Moves the whole WAL into the database, as found at start: the page cache may be all that holds it.
   * @returns false when a reader outside this process stood in the way
   */
  flush(): boolean {
    const [row] = this.#db.pragma('wal_checkpoint(FULL)') as [CheckpointRow]
    return row.busy === 0 && row.log === row.checkpointed
  }

  /** What the tables look like that every database of this machine has. */
  schema(): string {
    return String(this.#db.prepare(SCHEMA_SQL[this.#kind.shape]).pluck().get())
  }

  /** The whole database, as a file would hold it; for one in memory. */
  image(): Buffer {
    return this.#db.serialize()
  }

  query(query: Query): Answer {
    return this.#engine.query(query, this.position)
  }

  /** Resolves when no reader of the engine's has the file open. */
  endReaders(): Promise<void> {
    return this.#engine.endReaders()
  }

  close(): void {
    this.#engine.close()
    this.#db.close()
  }

  /** If it fails, all that was not committed is taken back. */
  #wholly<T>(act: () => T): T {
    try {
      return act()
    } catch (error) {
      this.#failure = { cause: error }
      if (this.#db.inTransaction) this.#rollback.run()
      this.#lose()
      throw error
    }
  }

  #lose(): void {
    this.#engine.lost()
    this.#goBackTo(this.#committed)
  }

  #goBackTo(account: Account): void {
    this.#applied = account
    this.#chain.returnTo(account.chain)
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
    const results = new Array<Result | null>(skipped).fill(null)
    let { nowMs, sessions } = this.#applied
    for (let at = skipped; at < entries.length; at++) {
      const entry = entries[at] as CommittedEntry
      // The log's time never falls, whatever the leaders' clocks did.
      nowMs = Math.max(nowMs, entry.timeMs)
      let result: Result
      if (entry.idempotency === null) result = this.#execute(entry, nowMs)
      else {
        const execute = () => this.#execute(entry, nowMs)
        const once = this.#sessions.once(entry.idempotency, { nowMs, count: sessions }, execute)
        result = once.result
        sessions = once.count
      }
      results.push(result)
      this.#chain.add(entry, result)
    }
    return { results, nowMs, sessions }
  }

  #execute({ command, position }: CommittedEntry, timeMs: number): Result {
    if (command === null) return DONE
    return this.#engine.execute(command, { index: position.index, timeMs })
  }
}
