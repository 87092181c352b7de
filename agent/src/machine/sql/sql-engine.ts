import type { LogPosition } from '../../raft/types.ts'
import type { PlugInAnswer } from '../plug-in/host.ts'
import type { Changed, Connection, Engine, Moment } from '../sqlite/engine.ts'
import type { Result } from '../state-machine.ts'
import { parseQuery } from './command.ts'
import { InlineReader } from './inline-reader.ts'
import type { QueryResponse } from './query-child.ts'
import { QueryProcess } from './query-process.ts'
import { objectionToRead } from './rules.ts'
import { SqlExecutor } from './sql-executor.ts'
import { type Bound, boundOf, type Rows, toJson } from './values.ts'

/** What a query is answered with, as JSON. */
export type SqlAnswer =
  | Rows
  | { readonly error: { readonly code: string; readonly detail: string } }

/** Statements on tables that clients make. Queries run in a process of their own; in memory, here. */
export class SqlEngine implements Engine<Uint8Array, Promise<PlugInAnswer>> {
  readonly keepsInMemory = false
  readonly waiting = 0
  readonly bytesBeside = 0
  readonly #connection: Connection
  readonly #executor: SqlExecutor
  readonly #reader: QueryProcess | InlineReader
  /** since the last commit */
  #commands = 0

  constructor(connection: Connection) {
    this.#connection = connection
    this.#executor = new SqlExecutor(connection.db)
    const { db, file } = connection
    this.#reader = file === null ? new InlineReader(db) : new QueryProcess(file)
  }

  opened(): void {}

  execute(command: Uint8Array, moment: Moment): Result {
    this.#commands += 1
    return this.#executor.execute(command, moment)
  }

  applied(): void {}

  get changed(): Changed {
    return { rows: this.#commands, bytes: 0 }
  }

  flush(): void {}

  lost(): void {}

  committing(): void {
    this.#commands = 0
  }

  async query(query: Uint8Array, applied: LogPosition): Promise<PlugInAnswer> {
    const value = Buffer.from(JSON.stringify(await this.#answer(query)))
    return { applied, value }
  }

  async endReaders(): Promise<void> {
    await this.#reader.close()
  }

  close(): void {
    void this.#reader.close()
    this.#executor.close()
  }

  async #answer(query: Uint8Array): Promise<SqlAnswer> {
    const parsed = parseQuery(Buffer.from(query).toString())
    if ('problem' in parsed) return { error: { code: 'BAD_BODY', detail: parsed.problem } }
    const { sql, params } = parsed
    const objection = objectionToRead(sql)
    if (objection !== null) return { error: objection }
    const bound = boundOf(params)
    if (!Array.isArray(bound)) return { error: { code: 'BAD_BODY', detail: bound.problem } }
    this.#connection.commit()
    return toAnswer(await this.#reader.ask({ sql, params: bound }))
  }
}

function toAnswer(response: QueryResponse): SqlAnswer {
  if (response.kind === 'refused') {
    const { code, detail } = response
    return { error: { code, detail } }
  }
  const { columns, rows } = response
  return { columns, rows: rows.map(row => row.map(value => toJson(value as Bound))) }
}
