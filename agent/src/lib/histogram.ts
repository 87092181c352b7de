/** A histogram at one moment, as Prometheus wants it: each count holds those below it. */
export interface HistogramView {
  /** upper bound → how many were at most that; the last bound is infinite, its count is all */
  readonly buckets: readonly { readonly upTo: number; readonly count: number }[]
  readonly sum: number
}

/** Seconds, from a write that a disk's cache takes to a stall that ends a leadership. */
export const SECONDS: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
]

/** Counts values by size; an observation is a search of a few numbers and two additions. */
export class Histogram {
  readonly #bounds: readonly number[]
  readonly #counts: Float64Array
  #sum = 0

  /** @param bounds upper bounds, ascending, inclusive */
  constructor(bounds: readonly number[] = SECONDS) {
    this.#bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    const bounds = this.#bounds
    let at = 0
    while (at < bounds.length && value > (bounds[at] as number)) at++
    this.#counts[at] = (this.#counts[at] as number) + 1
    this.#sum += value
  }

  view(): HistogramView {
    let count = 0
    const buckets = Array.from(this.#counts, (own, at) => {
      count += own
      return { upTo: this.#bounds[at] ?? Number.POSITIVE_INFINITY, count }
    })
    return { buckets, sum: this.#sum }
  }
}
