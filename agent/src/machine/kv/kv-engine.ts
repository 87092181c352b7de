import { DecodeError } from '../../lib/bytes.ts'
import type { LogPosition } from '../../raft/types.ts'
import type { Changed, Connection, Engine, Moment } from '../sqlite/engine.ts'
import type { Result } from '../state-machine.ts'
import { ChangeRecorder } from './change.ts'
import type { ChangeFeed } from './change-feed.ts'
import { ChangeHistory } from './change-history.ts'
import { decodeCommand, type KvCommand } from './command.ts'
import { forbidNondeterminism } from './deterministic.ts'
import { Executor } from './executor.ts'
import type { HotRows } from './hot-rows.ts'
import { keyAt, plainKeyLength } from './plain-set.ts'
import type { KvAnswer, KvQuery } from './query.ts'
import { answer } from './reader.ts'
import { rowsOf, writeAsked, writeConcerned } from './waiting.ts'

const DONE: Result = { kind: 'done', value: null }
const UNDECODABLE: Result = { kind: 'rejected', code: 'UNDECODABLE' }

/** Commands and queries of keys, and a word about what they changed to whoever follows. */
export class KvEngine implements Engine<KvQuery, KvAnswer> {
  readonly keepsInMemory = true
  readonly #feed: ChangeFeed
  readonly #recorder = new ChangeRecorder()
  readonly #executor: Executor
  readonly #history: ChangeHistory
  readonly #hot: HotRows
  readonly #guarded: Connection['guarded']
  /** of commands that were not plain, since the last commit */
  #otherRows = 0
  /** of `hot`, as of the last commit */
  #writtenRows = 0

  constructor({ db, guarded }: Connection, feed: ChangeFeed) {
    forbidNondeterminism(db)
    this.#feed = feed
    this.#guarded = guarded
    this.#executor = new Executor(db, this.#recorder)
    this.#hot = this.#executor.rows.hot
    this.#history = new ChangeHistory(db, feed)
  }

  opened({ index }: LogPosition): void {
    this.#history.load(index)
  }

  execute(command: Uint8Array, { index }: Moment): Result {
    const keyLength = plainKeyLength(command)
    if (keyLength !== -1) return this.#setPlain(command, keyLength, index)
    const decoded = tryDecode(command)
    if (decoded === null) return UNDECODABLE
    if (this.#hot.waiting > 0) writeConcerned(decoded, this.#hot)
    this.#otherRows += rowsOf(decoded)
    const result = this.#executor.run(decoded, index)
    const made = this.#recorder.take(index)
    if (made !== null) this.#feed.add(made)
    return result
  }

  applied({ index }: LogPosition, timeMs: number): void {
    this.#feed.note({ reserved: this.#recorder.takeReserved(), timeMs })
    this.#feed.publish(index)
  }

  get waiting(): number {
    return this.#hot.waiting
  }

  get changed(): Changed {
    const rows = this.#otherRows + this.#hot.written - this.#writtenRows + this.#hot.waiting
    return { rows, bytes: this.#history.unsaved }
  }

  get bytesBeside(): number {
    return this.#feed.encodedBytes
  }

  flush(rows: number): void {
    this.#hot.write(rows)
  }

  lost(): void {
    this.#executor.rows.lost()
  }

  committing({ index }: LogPosition): void {
    this.#history.save(index)
    this.#otherRows = 0
    this.#writtenRows = this.#hot.written
  }

  query(query: KvQuery, applied: LogPosition): KvAnswer {
    const asks = query.kind !== 'get' && this.#hot.waiting > 0
    if (asks) this.#guarded(() => writeAsked(query, this.#hot))
    return answer(this.#executor, applied, query)
  }

  async endReaders(): Promise<void> {}

  close(): void {}

  /** In memory: the feed has a copy of the command, and the row that waits points to it. */
  #setPlain(command: Uint8Array, keyLength: number, index: number): Result {
    this.#hot.bound()
    const key = Buffer.from(command.buffer, command.byteOffset + keyAt(0), keyLength)
    const name = key.toString('latin1')
    const hot = this.#hot.standing(name, key, index)
    this.#hot.put(hot, index, this.#feed.addSet(index, command, hot, name), command.length)
    return DONE
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
