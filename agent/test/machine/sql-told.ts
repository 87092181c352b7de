import type { Test } from 'tap'
import { encodeCommand, parseExecute } from '../../src/machine/sql/command.ts'
import type { SqlAnswer } from '../../src/machine/sql/sql-engine.ts'
import { SqlMachine } from '../../src/machine/sql/sql-machine.ts'
import type { Result } from '../../src/machine/state-machine.ts'
import { entry, IDENTITY, NONE } from './entries.ts'

/** When the leader took each of its commands. */
export const TIME_MS = Date.UTC(2026, 0, 31, 12, 34, 56, 789)

/** A machine, told statements one entry after the other. */
export class Told {
  readonly machine: SqlMachine
  #index = 0

  constructor(directory: string | null) {
    this.machine = new SqlMachine({ directory })
  }

  static async open(t: Test, where: 'file' | 'memory' = 'memory'): Promise<Told> {
    const told = new Told(where === 'file' ? t.testdir() : null)
    await told.machine.open(IDENTITY)
    t.teardown(() => told.machine.close())
    return told
  }

  async tell(body: object): Promise<unknown> {
    const command = parseExecute(JSON.stringify(body))
    if ('problem' in command) throw new Error(command.problem)
    const next = { ...entry(++this.#index, 1, encodeCommand(command)), timeMs: TIME_MS }
    const [result] = await this.machine.apply([next], NONE)
    return shown(result ?? null)
  }

  /** So many requests that were named, each of which is answered again when it comes again. */
  async remember(requests: number): Promise<void> {
    const command = encodeCommand({
      statements: [{ sql: 'DROP TABLE none', params: [] }],
      transaction: true,
    })
    const requestHash = new Uint8Array(32)
    const entries = Array.from({ length: requests }, () => {
      const index = ++this.#index
      const idempotency = { key: `request ${index}`, requestHash }
      return { ...entry(index, 1, command), timeMs: TIME_MS, idempotency }
    })
    await this.machine.apply(entries, NONE)
  }

  run(sql: string, params: unknown = []): Promise<unknown> {
    return this.tell({ statements: [{ sql, params }] })
  }

  async ask(sql: string, params: unknown = []): Promise<SqlAnswer> {
    const query = Buffer.from(JSON.stringify({ sql, params }))
    const { value } = await this.machine.query(query)
    return JSON.parse(Buffer.from(value).toString()) as SqlAnswer
  }

  async rows(sql: string): Promise<unknown> {
    const answer = await this.ask(sql)
    return 'rows' in answer ? answer.rows : answer
  }
}

function shown(result: Result | null): unknown {
  if (result?.kind !== 'done') return result?.code ?? null
  return (JSON.parse(Buffer.from(result.value ?? []).toString()) as { results: unknown }).results
}
