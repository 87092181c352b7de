/** State machines that count, and how they are asked over HTTP. */

import { join } from 'node:path'
import type { Answer, Ask } from '../../agent/test/cluster/client.ts'
import { ROOT } from '../lib/layout.ts'
import { machineOf } from '../lib/machine-path.ts'

export interface Subject {
  /** as `cluster up --machine` takes it */
  machine(): string
  /** of the machine's own files, in the data directory of a node */
  readonly files: RegExp
  /** to be answered 200 once, before anything else */
  readonly prepare: Ask | null
  /** not idempotent: sent twice it counts twice */
  readonly increment: Ask
  /** on the node that is asked; `?consistent` where it has to be the newest */
  count(query?: '' | '?consistent'): Ask
  /** the number in an answer of 200; null where there is none */
  number(answer: Answer): number | null
}

const COUNTER: Subject = {
  machine: () => machineOf(join(ROOT, 'agent/examples/2-counter')),
  files: /^counter\.image/,
  prepare: null,
  increment: { method: 'POST', path: '/fsm/counter/increment' },
  count: (query = '') => ({ path: `/fsm/counter/${query}` }),
  number: ({ body }) => wholeOf(body),
}

const COUNT_SQL = 'SELECT n FROM counter WHERE id = 1'
const INCREMENT_SQL = 'UPDATE counter SET n = n + 1 WHERE id = 1 RETURNING n'
const TABLE_SQL = 'CREATE TABLE IF NOT EXISTS counter(id INTEGER PRIMARY KEY, n INTEGER NOT NULL)'
const ROW_SQL = 'INSERT OR IGNORE INTO counter(id, n) VALUES(1, 0)'

const SQL: Subject = {
  machine: () => 'sql',
  files: /^sql\.sqlite/,
  prepare: execute(TABLE_SQL, ROW_SQL),
  increment: execute(INCREMENT_SQL),
  count: (query = '') => ({
    method: 'POST',
    path: `/fsm/sql/query${query}`,
    body: JSON.stringify({ sql: COUNT_SQL }),
  }),
  number: ({ body }) => wholeOf(/"rows":\[\[([0-9]+)\]\]/.exec(body)?.[1] ?? ''),
}

/** By the name under which `faults counter --machine` has them. */
export const SUBJECTS: Readonly<Record<string, Subject>> = { counter: COUNTER, sql: SQL }

function execute(...statements: readonly string[]): Ask {
  return { method: 'POST', path: '/fsm/sql/execute', body: JSON.stringify({ statements }) }
}

function wholeOf(text: string): number | null {
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : null
}
