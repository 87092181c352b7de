import type { Database } from 'better-sqlite3'
import { PlanCost, STEPS_MAX } from './plan-cost.ts'
import { type QueryRequest, type QueryResponse, ROWS_MAX } from './query-child.ts'
import { objectionToWrite } from './rules.ts'
import { ADDED_MAX, spreadOf } from './spread.ts'
import { tokensOf } from './tokens.ts'

const TOO_COSTLY = {
  kind: 'refused',
  code: 'TOO_COSTLY',
  detail: 'not on a cluster in memory',
} as const

/**
 * Reads a database in memory, which no other process can see: on the writer's own connection, for
 * demonstrations and tests. With nobody to end it a query must not be one that never ends.
 */
export class InlineReader {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  async ask({ sql, params }: QueryRequest): Promise<QueryResponse> {
    if (objectionToWrite(sql)?.code === 'RECURSION') {
      return { kind: 'refused', code: 'RECURSION', detail: 'not on a cluster in memory' }
    }
    const tokens = tokensOf(sql) ?? []
    const [first] = tokens
    const explains = first?.kind === 'word' && first.word === 'explain'
    const spread = spreadOf(this.#db, tokens)
    try {
      if (spread.added > ADDED_MAX) return TOO_COSTLY
      const statement = this.#db.prepare<unknown[], unknown[]>(sql)
      if (!statement.reader || !statement.readonly) {
        return { kind: 'refused', code: 'STATEMENT_NOT_ALLOWED', detail: 'a query only reads' }
      }
      const cost = explains ? 0 : new PlanCost(this.#db, spread).of(sql, params, true)
      if (cost > STEPS_MAX) return TOO_COSTLY
      const rows: unknown[][] = []
      for (const row of statement
        .raw()
        .safeIntegers()
        .iterate(...params)) {
        if (rows.push(row) <= ROWS_MAX) continue
        return { kind: 'refused', code: 'RESULT_TOO_LARGE', detail: 'ask for less: LIMIT, OFFSET' }
      }
      return { kind: 'rows', columns: statement.columns().map(column => column.name), rows }
    } catch (error) {
      const { code = 'BAD_STATEMENT', message } = error as NodeJS.ErrnoException
      return { kind: 'refused', code, detail: message }
    }
  }

  async close(): Promise<void> {}
}
