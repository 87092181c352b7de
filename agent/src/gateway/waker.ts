import type { Clock } from '../clock/clock.ts'

/** Lets a loop rest, until its time is over or somebody has work for it. */
export class Waker {
  readonly #clock: Clock
  #woken = false
  #end: (() => void) | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Ends the pause under way, or else the next one at its least. */
  wake(): void {
    this.#woken = true
    this.#end?.()
  }

  /** Rests for `leastMs`, and on up to `mostMs` unless somebody wakes. */
  async pause({ leastMs, mostMs }: { readonly leastMs: number; readonly mostMs: number }) {
    await this.#rest(leastMs)
    if (!this.#woken && mostMs > leastMs) {
      await new Promise<void>(resolve => {
        const cancel = this.#clock.after(mostMs - leastMs, resolve)
        this.#end = () => {
          cancel()
          resolve()
        }
      })
      this.#end = null
    }
    this.#woken = false
  }

  #rest(ms: number): Promise<void> {
    return new Promise(resolve => this.#clock.after(ms, resolve))
  }
}
