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
  /** requests, on all connections, behind the first one of theirs, from their beginning until the kernel has their answers */
  count: number
}

/** The requests of one connection that were begun and whose answers have not left, in the order they came. */
export class Line {
  readonly #ahead: Ahead
  #begun: Served[] = []
  /** Their answers were written; the kernel has not taken them. */
  readonly #leaving: (readonly Served[])[] = []
  #bytes = 0
  /** how many are begun or leaving */
  #kept = 0
  /** how many of them have no answer yet; they are of one order */
  #open = 0
  #order: Order = 'alone'

  constructor(ahead: Ahead) {
    this.#ahead = ahead
  }

  /** of those whose answers were not written */
  get length(): number {
    return this.#begun.length
  }

  get isLeaving(): boolean {
    return this.#leaving.length > 0
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
    this.#begun.push(served)
    this.#bytes += served.bytes
    this.#open++
    this.#order = served.order
    this.#keep(this.#kept + 1)
  }

  /** One has its answer. */
  settled(): void {
    this.#open--
  }

  /** Those whose answers can be written now, and are leaving from now on: none stands before them without one. */
  takeSettled(): readonly Served[] {
    const begun = this.#begun
    let count = 0
    while (count < begun.length && begun[count]?.reply !== null) count++
    if (count === 0) return []
    this.#begun = count === begun.length ? [] : begun.splice(count)
    this.#bytes = this.#begun.reduce((sum, { bytes }) => sum + bytes, 0)
    this.#leaving.push(begun)
    return begun
  }

  /** The first of those that are leaving together have left. */
  left(): readonly Served[] {
    const left = this.#leaving.shift() ?? []
    this.#keep(this.#kept - left.length)
    return left
  }

  /** Takes away all. */
  takeAll(): readonly Served[] {
    const all = [...this.#leaving.splice(0).flat(), ...this.#begun]
    this.#begun = []
    this.#bytes = 0
    this.#keep(0)
    return all
  }

  #keep(count: number): void {
    this.#ahead.count += Math.max(0, count - 1) - Math.max(0, this.#kept - 1)
    this.#kept = count
  }
}
