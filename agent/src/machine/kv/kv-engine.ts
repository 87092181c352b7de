import type { Database } from 'better-sqlite3'
import { DecodeError } from '../../lib/bytes.ts'
import type { LogPosition } from '../../raft/types.ts'
import type { Engine, Moment } from '../sqlite/engine.ts'
import type { Result } from '../state-machine.ts'
import { ChangeRecorder, type EntryChanges } from './change.ts'
import type { ChangeFeed } from './change-feed.ts'
import { ChangeHistory } from './change-history.ts'
import { decodeCommand, type KvCommand } from './command.ts'
import { forbidNondeterminism } from './deterministic.ts'
import { Executor } from './executor.ts'
import type { KvAnswer, KvQuery } from './query.ts'
import { answer } from './reader.ts'

const UNDECODABLE: Result = { kind: 'rejected', code: 'UNDECODABLE' }

/** Commands and queries of keys, and a word about what they changed to whoever follows. */
export class KvEngine implements Engine<KvQuery, KvAnswer> {
  readonly #feed: ChangeFeed
  readonly #recorder = new ChangeRecorder()
  readonly #executor: Executor
  readonly #history: ChangeHistory
  /** of the batch that is under way */
  #changes: EntryChanges[] = []
  /** the log's time */
  #timeMs = 0

  constructor(db: Database, feed: ChangeFeed) {
    forbidNondeterminism(db)
    this.#feed = feed
    this.#executor = new Executor(db, this.#recorder)
    this.#history = new ChangeHistory(db, feed)
  }

  opened({ index }: LogPosition): void {
    this.#history.load(index)
  }

  begin(): void {
    this.#recorder.clear()
    this.#changes = []
  }

  execute(command: Uint8Array, { index, timeMs }: Moment): Result {
    this.#timeMs = timeMs
    const decoded = tryDecode(command)
    if (decoded === null) return UNDECODABLE
    const result = this.#executor.run(decoded, index)
    const made = this.#recorder.take(index)
    if (made !== null) this.#changes.push(made)
    return result
  }

  applied({ index }: LogPosition): void {
    this.#feed.note({ reserved: this.#recorder.takeReserved(), timeMs: this.#timeMs })
    this.#feed.publish(this.#changes, index)
    this.#changes = []
  }

  committing({ index }: LogPosition): void {
    this.#history.save(index)
  }

  query(query: KvQuery, applied: LogPosition): KvAnswer {
    return answer(this.#executor, applied, query)
  }

  async endReaders(): Promise<void> {}

  close(): void {}
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
