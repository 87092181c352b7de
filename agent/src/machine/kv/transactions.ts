import type { Database } from 'better-sqlite3'
import type { AnsweredRow, Failure, KvOutcome } from './answer.ts'
import type { ChangeRecorder } from './change.ts'
import { isWrite, type Operation } from './operation.ts'
import type { KeptRow } from './row.ts'
import type { StepAnswer, Steps } from './steps.ts'
import { ROWS_BYTES_MAX, rowBytes } from './tree-limits.ts'

class Refused extends Error {
  readonly failures: readonly Failure[]

  constructor(failures: readonly Failure[]) {
    super('a transaction was refused')
    this.failures = failures
  }
}

/** All steps of a transaction, or none. */
export class Transactions {
  readonly #steps: Steps
  readonly #recorder: ChangeRecorder
  readonly #atomic: (operations: readonly Operation[], index: number) => KvOutcome

  constructor(db: Database, steps: Steps, recorder: ChangeRecorder) {
    this.#steps = steps
    this.#recorder = recorder
    // Inside a transaction, better-sqlite3 makes a savepoint of it.
    this.#atomic = db.transaction((operations: readonly Operation[], index: number) => {
      const outcome = this.#runAll(operations, index)
      if (outcome.kind === 'failures') throw new Refused(outcome.failures)
      return outcome
    })
  }

  /** In the log: what fails is taken back, whole. */
  run(operations: readonly Operation[], index: number): KvOutcome {
    // A single step decides before it changes anything.
    if (operations.length === 1) return this.#runAll(operations, index)
    try {
      return this.#atomic(operations, index)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      this.#recorder.clear()
      return { kind: 'failures', failures: error.failures }
    }
  }

  /** Outside the log. @throws when one of them would change something */
  read(operations: readonly Operation[]): KvOutcome {
    if (operations.some(isWrite)) throw new Error('a write outside the log')
    return this.#runAll(operations, 0)
  }

  /** Goes on after a failure: whoever asked learns all of them. */
  #runAll(operations: readonly Operation[], index: number): KvOutcome {
    const rows: AnsweredRow[] = []
    const failures: Failure[] = []
    let bytes = 0
    for (const [step, one] of operations.entries()) {
      const answer = this.#steps.run(one, index)
      bytes += bytesOf(answer, one)
      if (typeof answer === 'string') failures.push({ step, reason: answer })
      else if (bytes > ROWS_BYTES_MAX) failures.push({ step, reason: 'too-large' })
      else for (const row of answer) rows.push(answered(row, one))
    }
    return failures.length > 0 ? { kind: 'failures', failures } : { kind: 'rows', rows }
  }
}

/** Of the values that were asked for. */
function bytesOf(answer: StepAnswer, { verb }: Operation): number {
  if (typeof answer === 'string' || !verb.startsWith('get')) return 0
  return answer.reduce((sum, row) => sum + rowBytes(row), 0)
}

/** Only what was asked for by `get…` brings its value: the writer knows what it wrote. */
function answered(
  { ttlMs: _, contentType: __, ...row }: KeptRow,
  { verb }: Operation,
): AnsweredRow {
  return verb.startsWith('get') ? row : { ...row, value: null }
}
