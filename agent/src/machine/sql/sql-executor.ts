import Database from 'better-sqlite3'
import type { Moment } from '../sqlite/engine.ts'
import type { Result } from '../state-machine.ts'
import { decodeCommand, type SqlStatement } from './command.ts'
import { FrozenFunctions, SqlRefusal } from './frozen-functions.ts'
import { PlanCost, STEPS_MAX } from './plan-cost.ts'
import { objectionToWrite } from './rules.ts'
import { ADDED_MAX, type Spread, spreadOf } from './spread.ts'
import { tokensOf } from './tokens.ts'
import { type Bound, boundOf, type Rows, toJson } from './values.ts'

/** What one statement did. */
export type StatementResult =
  | { readonly changes: number }
  /** Of a RETURNING. */
  | Rows
  /** It failed, and only it: the statements were no transaction. */
  | { readonly error: string }

/** What a statement may give back: the result of every command is remembered, and hashed on every node. */
const ROWS_MAX = 1000
const RESULT_BYTES_MAX = 256 * 1024

/** These depend on the data and the statement, so every replica meets them: sqlite.org/rescode.html. */
const DETERMINISTIC = /^SQLITE_(?:ERROR|CONSTRAINT|MISMATCH|RANGE|TOOBIG|AUTH)(?:_|$)/

/** Carries out commands on the writer's connection, inside the transaction of whoever calls. */
export class SqlExecutor {
  readonly #db: Database.Database
  readonly #functions: FrozenFunctions
  /** what the command may still take */
  #steps = STEPS_MAX
  #isAlone = true

  constructor(db: Database.Database) {
    this.#db = db
    // A trigger that fires itself may go on for 2^1000 rows.
    db.pragma('recursive_triggers = OFF')
    this.#functions = new FrozenFunctions(db)
  }

  close(): void {
    this.#functions.close()
  }

  /** @throws an error of the surroundings, such as a full disk: then the caller takes its transaction back */
  execute(bytes: Uint8Array, moment: Moment): Result {
    const command = decodeCommand(bytes)
    if (command === null) return { kind: 'rejected', code: 'UNDECODABLE' }
    this.#functions.at(moment)
    this.#steps = STEPS_MAX
    const { statements, transaction } = command
    this.#isAlone = statements.length === 1
    const run = (): Result => {
      const results = statements.map(each => (transaction ? this.#run(each) : this.#tryRun(each)))
      return { kind: 'done', value: encodeResults(results) }
    }
    const code = orCode(() => this.#whole(run))
    return typeof code === 'string' ? { kind: 'rejected', code } : code
  }

  /** One statement of many that stand for themselves. */
  #tryRun(statement: SqlStatement): StatementResult {
    const result = orCode(() => this.#whole(() => this.#run(statement)))
    return typeof result === 'string' ? { error: result } : result
  }

  /** All that `run` does, or nothing of it. */
  #whole<T>(run: () => T): T {
    return this.#db.transaction(run)()
  }

  #run({ sql, params }: SqlStatement): StatementResult {
    const objection = objectionToWrite(sql)
    if (objection !== null) throw new SqlRefusal(objection.code, objection.detail)
    const spread = spreadOf(this.#db, tokensOf(sql) ?? [])
    if (spread.added > ADDED_MAX) throw new SqlRefusal('TOO_COSTLY', 'too much is written out')
    const prepared = this.#db.prepare<unknown[], Bound[]>(sql)
    if (prepared.readonly) throw new SqlRefusal('STATEMENT_NOT_ALLOWED', 'a query changes nothing')
    const bound = boundOf(params)
    if (!Array.isArray(bound)) throw new SqlRefusal('BAD_STATEMENT', bound.problem)
    this.#afford(spread, sql, bound)
    if (!prepared.reader) return { changes: prepared.run(...bound).changes }
    const rows = prepared
      .raw()
      .safeIntegers()
      .all(...bound)
    if (rows.length > ROWS_MAX) throw new SqlRefusal('RESULT_TOO_LARGE', 'too many rows')
    const columns = prepared.columns().map(column => column.name)
    return { columns, rows: rows.map(row => row.map(toJson)) }
  }

  /** Every node runs it to its end, and does nothing else meanwhile. @throws SqlRefusal */
  #afford(spread: Spread, sql: string, bound: readonly unknown[]): void {
    this.#steps -= new PlanCost(this.#db, spread).of(sql, bound, this.#isAlone)
    if (this.#steps < 0) throw new SqlRefusal('TOO_COSTLY', 'too many rows inside one another')
  }
}

function encodeResults(results: readonly StatementResult[]): Uint8Array {
  const bytes = Buffer.from(JSON.stringify({ results }))
  if (bytes.length <= RESULT_BYTES_MAX) return bytes
  throw new SqlRefusal('RESULT_TOO_LARGE', `a result has at most ${RESULT_BYTES_MAX} bytes`)
}

/**
 * What `run` gives; or the code of a failure that every replica shares. Codes only: the words of SQLite
 * may change with its version.
 * @throws any other error
 */
function orCode<T>(run: () => T): T | string {
  try {
    return run()
  } catch (error) {
    if (error instanceof SqlRefusal) return error.code
    // The driver's own: too few or too many parameters, a name that is missing, more than one statement.
    if (error instanceof RangeError || error instanceof TypeError) return 'BAD_STATEMENT'
    if (error instanceof Database.SqliteError && DETERMINISTIC.test(error.code)) return error.code
    throw error
  }
}
