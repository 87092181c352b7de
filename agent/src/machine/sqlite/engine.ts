import type { Database } from 'better-sqlite3'
import type { LogPosition } from '../../raft/types.ts'
import type { Result } from '../state-machine.ts'

/** What an engine works on. */
export interface Connection {
  /** The writer's; nobody else writes. */
  readonly db: Database
  /** Path of the database; null: it is in memory. */
  readonly file: string | null
  /** Puts what was applied into the file, for readers on connections of their own to see. */
  readonly commit: () => void
  /** For writes beside those that the engine is asked for. @throws its error; everything since the last commit is lost, and the machine ends */
  readonly guarded: (write: () => void) => void
}

/** Since the last commit, roughly. */
export interface Changed {
  /** with those that wait in memory */
  readonly rows: number
  /** of what is kept beside them */
  readonly bytes: number
}

/** What a command may know beside the data. */
export interface Moment {
  /** of its entry */
  readonly index: number
  /** the log's time, Unix ms; never falls along the log */
  readonly timeMs: number
}

/**
 * What one kind of SQLite machine does with its tables. Position, chain, configuration, sessions, batches,
 * checkpoints and snapshots are the SqliteMachine's, in the same transactions.
 */
export interface Engine<Query, Answer> {
  /** The tables hold what was applied up to here: after opening the file, and after another took its place. */
  opened(applied: LogPosition): void
  /** An error takes back all batches since the last commit, and ends the machine: not all of them is in the tables. */
  readonly keepsInMemory: boolean
  /**
   * Carries out one command. Deterministic; what it refuses has changed nothing.
   * @throws an error of the surroundings: the batch is taken back, with those before it where `keepsInMemory`
   */
  execute(command: Uint8Array, moment: Moment): Result
  /** The batch is visible, up to here; `timeMs` is the log's time. */
  applied(applied: LogPosition, timeMs: number): void
  /** Rows that were applied and wait in memory. */
  readonly waiting: number
  /** What the next commit has to write. */
  readonly changed: Changed
  /** What the database holds beside rows, roughly. */
  readonly bytesBeside: number
  /** At most so many of those that wait go into the tables. */
  flush(rows: number): void
  /** All batches since the last commit are taken back. */
  lost(): void
  /** The transaction that holds the batches since the last one is about to be committed: the last to be written in it. */
  committing(applied: LogPosition): void
  query(query: Query, applied: LogPosition): Answer
  /** Resolves when no other process or thread of its own reads the file. A query may come after it. */
  endReaders(): Promise<void>
  /** At once: whoever reads for it is ended. */
  close(): void
}

/** Tables of its own, made in a new file, and who works on them. */
export interface EngineKind<Query, Answer> {
  /** Every table has an explicit key: VACUUM may renumber rowids. */
  readonly tables: string
  /** Whether clients make tables beside them: then two databases of it may differ in theirs. */
  readonly shape: 'program' | 'clients'
  /** Tells files of this kind from those of others: `PRAGMA application_id`. */
  readonly applicationId: number
  open(connection: Connection): Engine<Query, Answer>
}
