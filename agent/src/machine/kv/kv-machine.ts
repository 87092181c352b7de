import type { ReplaceStep } from '../sqlite/replace-file.ts'
import { SqliteMachine } from '../sqlite/sqlite-machine.ts'
import { ChangeFeed } from './change-feed.ts'
import { KvEngine } from './kv-engine.ts'
import type { AnswerTo, KvAnswer, KvQuery } from './query.ts'
import { KV_TABLES } from './tables.ts'

export interface KvMachineOptions {
  /** Path of the database, whose folder exists; null keeps everything in memory. */
  readonly file: string | null
  /** For tests: called where a crash in a restore would leave something half done. */
  readonly onRestore?: (step: ReplaceStep) => void
}

/** The built-in state machine: keys and values in SQLite. */
export class KvMachine extends SqliteMachine<KvQuery, KvAnswer> {
  /** What was changed lately, for whoever follows. */
  readonly changes: ChangeFeed

  constructor({ file, onRestore }: KvMachineOptions) {
    const changes = new ChangeFeed()
    // "RNkv"
    const kind = { tables: KV_TABLES, shape: 'program', applicationId: 0x524e6b76 } as const
    super(file, { ...kind, open: connection => new KvEngine(connection, changes) }, onRestore)
    this.changes = changes
  }

  override query<Query extends KvQuery>(query: Query): AnswerTo<Query> {
    return super.query(query) as AnswerTo<Query>
  }
}
