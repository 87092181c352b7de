import type { Clock } from '../clock/clock.ts'

/** Lets so many bytes a second pass, whoever asks, after a first burst of a quarter of a second. */
export class Throttle {
  readonly #clock: Clock
  readonly #bytesPerMs: number
  readonly #burstMs = 250
  /** when what passed so far is paid for */
  #paidAt = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock
    this.#bytesPerMs = bytesPerSecond / 1000
  }

  /** How long to wait, ms, before these bytes may go. They count as gone. */
  take(bytes: number): number {
    const now = this.#clock.now()
    this.#paidAt = Math.max(this.#paidAt, now - this.#burstMs)
    const waitMs = Math.max(0, this.#paidAt - now)
    this.#paidAt += bytes / this.#bytesPerMs
    return waitMs
  }
}
