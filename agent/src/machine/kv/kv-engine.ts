import { DecodeError } from '../../lib/bytes.ts'
import type { LogPosition } from '../../raft/types.ts'
import type { Connection, Engine, Moment, Plain } from '../sqlite/engine.ts'
import type { CommittedEntry, Result } from '../state-machine.ts'
import { ChangeRecorder, type EntryChanges } from './change.ts'
import type { ChangeFeed } from './change-feed.ts'
import { ChangeHistory } from './change-history.ts'
import { decodeCommand, type KvCommand } from './command.ts'
import { forbidNondeterminism } from './deterministic.ts'
import { Executor } from './executor.ts'
import { arePlainSets, PlainSets } from './plain-sets.ts'
import type { KvAnswer, KvQuery } from './query.ts'
import { answer } from './reader.ts'

const UNDECODABLE: Result = { kind: 'rejected', code: 'UNDECODABLE' }

/** Commands and queries of keys, and a word about what they changed to whoever follows. */
export class KvEngine implements Engine<KvQuery, KvAnswer> {
  readonly #feed: ChangeFeed
  readonly #recorder = new ChangeRecorder()
  readonly #executor: Executor
  readonly #history: ChangeHistory
  readonly #plain: PlainSets
  readonly #flush: () => void
  /** of the batch that is under way */
  #changes: EntryChanges[] = []

  constructor({ db, flush }: Connection, feed: ChangeFeed) {
    forbidNondeterminism(db)
    this.#feed = feed
    this.#flush = flush
    this.#executor = new Executor(db, this.#recorder)
    this.#plain = new PlainSets(this.#executor.rows.hot, feed)
    this.#history = new ChangeHistory(db, feed)
  }

  opened({ index }: LogPosition): void {
    this.#history.load(index)
  }

  begin(entries: readonly CommittedEntry[], skipped: number): Plain | null {
    this.#recorder.clear()
    this.#changes = []
    const { hot } = this.#executor.rows
    const plain = arePlainSets(entries, skipped)
    if (plain ? hot.full : hot.waiting) this.#flush()
    return plain ? this.#plain : null
  }

  execute(command: Uint8Array, { index }: Moment): Result {
    const decoded = tryDecode(command)
    if (decoded === null) return UNDECODABLE
    const result = this.#executor.run(decoded, index)
    const made = this.#recorder.take(index)
    if (made !== null) this.#changes.push(made)
    return result
  }

  applied({ index }: LogPosition, timeMs: number): void {
    this.#feed.note({ reserved: this.#recorder.takeReserved(), timeMs })
    for (const entry of this.#changes) this.#feed.add(entry)
    this.#feed.publish(index)
    this.#changes = []
  }

  flush(): void {
    this.#executor.rows.hot.write()
  }

  lost(): void {
    this.#executor.rows.hot.clear()
  }

  committing({ index }: LogPosition): void {
    this.#history.save(index)
  }

  query(query: KvQuery, applied: LogPosition): KvAnswer {
    if (this.#executor.rows.hot.waiting && !isOfOneKey(query)) this.#flush()
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

/** Such a query finds what waits to be written, too; any other looks at the tables only. */
function isOfOneKey(query: KvQuery): boolean {
  return query.kind === 'get' || (query.kind === 'rows' && query.scope.kind === 'key')
}
