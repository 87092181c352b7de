/** What a query's process is told. */
export interface QueryRequest {
  readonly sql: string
  readonly params: unknown[]
}

export type QueryResponse =
  | { readonly kind: 'rows'; readonly columns: string[]; readonly rows: unknown[][] }
  | { readonly kind: 'refused'; readonly code: string; readonly detail: string }

/** Of one query's answer; of the memory that SQLite may take for it. */
export const ROWS_MAX = 10_000
export const ANSWER_BYTES_MAX = 4 * 1024 * 1024
const HEAP_BYTES_MAX = 256 * 1024 * 1024

/**
 * A process that reads: a query that does not end is ended with it, which no thread allows. Plain CommonJS in
 * a string, so that it runs the same under every loader. Its second thread ends it when the agent is gone
 * in the middle of a query.
 */
export const QUERY_CHILD = `'use strict'
const { Worker } = require('node:worker_threads')
const [, driver, file] = process.argv
const Database = require(driver)

new Worker(
  'const parent = ' + process.ppid + ';' +
  'setInterval(() => { if (process.ppid !== parent) process.kill(process.pid, "SIGKILL") }, 500)',
  { eval: true },
).unref()

const db = new Database(file, { readonly: true, fileMustExist: true, timeout: 1000 })
db.pragma('query_only = ON')
db.pragma('temp_store = MEMORY')
db.pragma('hard_heap_limit = ${HEAP_BYTES_MAX}')

const sizeOf = value =>
  typeof value === 'string' || value instanceof Uint8Array ? value.length + 8 : 8

function run({ sql, params }) {
  const statement = db.prepare(sql)
  if (!statement.reader || !statement.readonly) {
    return { kind: 'refused', code: 'STATEMENT_NOT_ALLOWED', detail: 'a query only reads' }
  }
  const rows = []
  let bytes = 0
  for (const row of statement.raw().safeIntegers().iterate(...params)) {
    for (const value of row) bytes += sizeOf(value)
    if (rows.push(row) > ${ROWS_MAX} || bytes > ${ANSWER_BYTES_MAX}) {
      return { kind: 'refused', code: 'RESULT_TOO_LARGE', detail: 'ask for less: LIMIT, OFFSET' }
    }
  }
  return { kind: 'rows', columns: statement.columns().map(column => column.name), rows }
}

process.on('message', request => {
  let response
  try {
    response = run(request)
  } catch (error) {
    response = { kind: 'refused', code: String(error.code || 'BAD_STATEMENT'), detail: error.message }
  }
  process.send(response)
})
process.on('disconnect', () => process.exit())
`
