/** What is next to be asked, and what came of it. */

/** Visits the keys out of order; any prime that does not divide their number reaches them all. */
const STRIDE = 7919

/** No more requests. */
export const NO_KEY = -1

/** Takes a request when one is due. */
export interface Waiting {
  wake(): void
}

/**
 * What the loops of one run take their keys from and report to. Closed: whoever has its answer takes the next.
 * Paced: a request is due at its time, whether or not others are answered, and its latency counts from then on.
 */
export class Tally {
  readonly #keys: number
  readonly #stride: number
  #left: number
  #at = 0
  #inFlight = 0
  #measuring = false
  #latenciesMs = new Float64Array(1 << 16)
  #operations = 0
  #gapMs = 0
  #lastMs = 0
  #errors = 0
  #firstError: string | null = null
  #onIdle: (() => void) | null = null
  #pace: { readonly startMs: number; readonly intervalMs: number; taken: number } | null = null
  #timer: NodeJS.Timeout | null = null
  readonly #waiting = new Set<Waiting>()

  /** When the request that `next` gave last began to be waited for. */
  startedAtMs = 0

  /** @param operationsMax how many requests before `next` gives no more; `Infinity` for no limit */
  constructor(keys: number, operationsMax: number) {
    this.#keys = keys
    this.#stride = keys % STRIDE === 0 ? 1 : STRIDE
    this.#left = operationsMax
  }

  get operations(): number {
    return this.#operations
  }

  /** Longest time without an answer since `measure`, up to `stop`. */
  get gapMs(): number {
    return this.#gapMs
  }

  get errors(): number {
    return this.#errors
  }

  get firstError(): string | null {
    return this.#firstError
  }

  /** From here on requests are due at this rate. */
  pace(ratePerSecond: number): void {
    const intervalMs = 1_000 / ratePerSecond
    this.#pace = { startMs: performance.now(), intervalMs, taken: 0 }
    this.#timer = setInterval(() => this.#wakeWaiting(), 1)
  }

  /** Wakes it when something is due; what is not paced never is. */
  park(loop: Waiting): void {
    if (this.#pace !== null) this.#waiting.add(loop)
  }

  /** From here on answers count. */
  measure(): void {
    this.#measuring = true
    this.#lastMs = performance.now()
  }

  /** From here on nothing counts and nothing new is asked. */
  stop(): void {
    this.#closeGap(performance.now())
    this.#measuring = false
    this.#left = 0
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#settleIdle()
  }

  /** Index of the key to ask for, or `NO_KEY`. */
  next(): number {
    if (this.#left <= 0 || !this.#takeTime()) return NO_KEY
    this.#left -= 1
    this.#inFlight += 1
    this.#at = (this.#at + this.#stride) % this.#keys
    return this.#at
  }

  succeeded(startedAtMs: number): void {
    this.#inFlight -= 1
    if (this.#measuring) {
      if (this.#operations === this.#latenciesMs.length) this.#grow()
      const now = performance.now()
      this.#latenciesMs[this.#operations] = now - startedAtMs
      this.#operations += 1
      this.#closeGap(now)
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

  /** @returns false when nothing is due yet */
  #takeTime(): boolean {
    const now = performance.now()
    this.startedAtMs = now
    const pace = this.#pace
    if (pace === null) return true
    const dueAtMs = pace.startMs + pace.taken * pace.intervalMs
    if (dueAtMs > now) return false
    pace.taken += 1
    this.startedAtMs = dueAtMs
    return true
  }

  #wakeWaiting(): void {
    const pace = this.#pace
    if (pace === null) return
    for (const loop of this.#waiting) {
      if (pace.startMs + pace.taken * pace.intervalMs > performance.now()) return
      this.#waiting.delete(loop)
      loop.wake()
    }
  }

  #closeGap(now: number): void {
    this.#gapMs = Math.max(this.#gapMs, now - this.#lastMs)
    this.#lastMs = now
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
