/** Simulated time: everything that will happen, ordered by (tick, order of scheduling). */
export class Scheduler {
  now = 0
  readonly #due = new Map<number, (() => void)[]>()

  /** `ticks` from now; 0 is later within this tick. */
  after(ticks: number, happen: () => void): void {
    const time = this.now + ticks
    const jobs = this.#due.get(time)
    if (jobs === undefined) this.#due.set(time, [happen])
    else jobs.push(happen)
  }

  /** Lets one tick pass, with all that falls into it. */
  advance(): void {
    const jobs = this.#due.get(this.now)
    // What is scheduled for this very tick meanwhile is run too.
    if (jobs !== undefined) for (const happen of jobs) happen()
    this.#due.delete(this.now)
    this.now++
  }
}
