/** What is next to be asked, and what came of it. */

/** Visits the keys out of order; any prime that does not divide their number reaches them all. */
const STRIDE = 7919

/** No more requests. */
export const NO_KEY = -1

/** One run of closed loops: every loop takes a key, asks, reports, and takes the next. */
export class Tally {
  readonly #keys: number
  readonly #stride: number
  #left: number
  #at = 0
  #inFlight = 0
  #measuring = false
  #latenciesMs = new Float64Array(1 << 16)
  #operations = 0
  #errors = 0
  #firstError: string | null = null
  #onIdle: (() => void) | null = null

  /** @param operationsMax how many requests before `next` gives no more; `Infinity` for no limit */
  constructor(keys: number, operationsMax: number) {
    this.#keys = keys
    this.#stride = keys % STRIDE === 0 ? 1 : STRIDE
    this.#left = operationsMax
  }

  get operations(): number {
    return this.#operations
  }

  get errors(): number {
    return this.#errors
  }

  get firstError(): string | null {
    return this.#firstError
  }

  /** From here on answers count. */
  measure(): void {
    this.#measuring = true
  }

  /** From here on nothing counts and nothing new is asked. */
  stop(): void {
    this.#measuring = false
    this.#left = 0
    this.#settleIdle()
  }

  /** Index of the key to ask for, or `NO_KEY`. */
  next(): number {
    if (this.#left <= 0) return NO_KEY
    this.#left -= 1
    this.#inFlight += 1
    this.#at = (this.#at + this.#stride) % this.#keys
    return this.#at
  }

  succeeded(startedAtMs: number): void {
    this.#inFlight -= 1
    if (this.#measuring) {
      if (this.#operations === this.#latenciesMs.length) this.#grow()
      this.#latenciesMs[this.#operations] = performance.now() - startedAtMs
      this.#operations += 1
    }
    this.#settleIdle()
  }

  failed(reason: string): void {
    this.#inFlight -= 1
    this.#errors += 1
    this.#firstError ??= reason
    this.#settleIdle()
  }

  /** An error while nothing was in flight, such as a refused connection. */
  complain(reason: string): void {
    this.#errors += 1
    this.#firstError ??= reason
  }

  /** Resolves when nothing is left to ask and nothing in flight. */
  idle(): Promise<void> {
    return new Promise(resolve => {
      this.#onIdle = resolve
      this.#settleIdle()
    })
  }

  /** Latencies of what was measured, ascending. */
  sortedLatenciesMs(): Float64Array {
    return this.#latenciesMs.slice(0, this.#operations).sort()
  }

  #settleIdle(): void {
    if (this.#left <= 0 && this.#inFlight === 0) this.#onIdle?.()
  }

  #grow(): void {
    const larger = new Float64Array(this.#latenciesMs.length * 2)
    larger.set(this.#latenciesMs)
    this.#latenciesMs = larger
  }
}

/** @param sorted ascending; NaN where it is empty */
export function percentile(sorted: Float64Array, fraction: number): number {
  const at = Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))
  return sorted[at] ?? Number.NaN
}
