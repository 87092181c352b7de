import type { LogIndex, RequestId } from '../raft/types.ts'
import type { ReadOutcome } from './outcome.ts'

interface Reading {
  readonly deadline: number
  readonly settle: (outcome: ReadOutcome) => void
  /** what the machine must have applied; null until the leader has told it */
  index: LogIndex | null
}

/** Linearizable reads: first the index is asked for, then waited for. */
export class PendingReads {
  readonly #readings = new Map<RequestId, Reading>()

  get size(): number {
    return this.#readings.size
  }

  add(id: RequestId, deadline: number, settle: (outcome: ReadOutcome) => void): void {
    this.#readings.set(id, { deadline, settle, index: null })
  }

  /** The leader has told the index; the machine is at `applied`. */
  ready(ids: readonly RequestId[], index: LogIndex, applied: LogIndex): void {
    for (const id of ids) {
      const reading = this.#readings.get(id)
      if (reading === undefined) continue
      reading.index = index
      if (index <= applied) this.#settle(id, reading, { kind: 'ready', index })
    }
  }

  refuse(ids: readonly RequestId[]): void {
    for (const id of ids) {
      const reading = this.#readings.get(id)
      if (reading !== undefined) this.#settle(id, reading, { kind: 'no-leader' })
    }
  }

  applied(index: LogIndex): void {
    for (const [id, reading] of this.#readings) {
      if (reading.index === null || reading.index > index) continue
      this.#settle(id, reading, { kind: 'ready', index: reading.index })
    }
  }

  /** A read that was not confirmed in time has not happened; it is refused, never answered with less. */
  expire(now: number): void {
    for (const [id, reading] of this.#readings) {
      if (reading.deadline <= now) this.#settle(id, reading, { kind: 'no-leader' })
    }
  }

  #settle(id: RequestId, reading: Reading, outcome: ReadOutcome): void {
    this.#readings.delete(id)
    reading.settle(outcome)
  }
}
