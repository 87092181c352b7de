import type { Order } from './order.ts'
import type { Served } from './served.ts'

/** Of one connection: more would wait for each other only. */
const BEGUN_MAX = 64
/** Of one connection's requests together, from the second one on: larger ones have their turns. */
const BEGUN_BYTES_MAX = 64 * 1024
/**
 * Behind the first ones of all connections together: half of the writes that may wait on a node at once, and of what is
 * kept for clients that pipeline. Above it each connection has one at a time, as those have that do not.
 */
const AHEAD_MAX = 256

/** What the connections of a door share. */
export interface Ahead {
  /** requests under way, on all connections, behind the first one of theirs */
  count: number
}

/** The requests of one connection that were begun and whose answers have not been written, in the order they came. */
export class Line {
  readonly #ahead: Ahead
  #begun: Served[] = []
  #bytes = 0
  /** how many of them have no answer yet; they are of one order */
  #open = 0
  #order: Order = 'alone'

  constructor(ahead: Ahead) {
    this.#ahead = ahead
  }

  get length(): number {
    return this.#begun.length
  }

  /** Whether the next request may begin now. */
  admits(order: Order, bytes: number): boolean {
    if (this.#begun.length === 0) return true
    return (
      (this.#open === 0 || (order === this.#order && order !== 'alone')) &&
      this.#begun.length < BEGUN_MAX &&
      this.#bytes + bytes <= BEGUN_BYTES_MAX &&
      this.#ahead.count < AHEAD_MAX
    )
  }

  begin(served: Served): void {
    if (this.#begun.length > 0) this.#ahead.count++
    this.#begun.push(served)
    this.#bytes += served.bytes
    this.#open++
    this.#order = served.order
  }

  /** One has its answer. */
  settled(): void {
    this.#open--
  }

  /** Takes away those whose answers can be written now: none stands before them without one. */
  takeSettled(): readonly Served[] {
    const begun = this.#begun
    let count = 0
    while (count < begun.length && begun[count]?.reply !== null) count++
    return this.#take(count)
  }

  /** Takes away all. */
  takeAll(): readonly Served[] {
    return this.#take(this.#begun.length)
  }

  #take(count: number): readonly Served[] {
    const taken = this.#begun
    this.#ahead.count -= Math.max(0, Math.min(count, taken.length - 1))
    this.#begun = count === taken.length ? [] : taken.splice(count)
    this.#bytes = this.#begun.reduce((sum, { bytes }) => sum + bytes, 0)
    return taken
  }
}
