/** In quiet times a leader has to be found: how long that takes, agents that have to start first included. */

export class Calm {
  /** from when nothing was wrong any more until somebody led, or until it was quiet no longer, ms; the longest */
  longestMs = 0
  readonly #leads: () => Promise<boolean>
  readonly #now: () => number
  #since: number | null = null
  #led = false

  /** @param now ms, monotonic */
  constructor(leads: () => Promise<boolean>, now: () => number = () => performance.now()) {
    this.#leads = leads
    this.#now = now
  }

  /** To be called often. @param isCalm whether nothing is wrong, or nothing but what follows from having been */
  async look(isCalm: boolean): Promise<void> {
    if (!isCalm) {
      this.#note()
      this.#since = null
      this.#led = false
      return
    }
    this.#since ??= this.#now()
    if (this.#led || !(await this.#leads())) return
    this.#note()
    this.#led = true
  }

  /** Of a time that has begun, and in which nobody has led. */
  #note(): void {
    if (this.#since === null || this.#led) return
    this.longestMs = Math.max(this.longestMs, this.#now() - this.#since)
  }
}
