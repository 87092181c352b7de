import type { Cancel, Clock } from '../../src/clock/clock.ts'

interface Timer {
  at: number
  readonly everyMs: number | null
  readonly callback: () => void
}

/** Time that passes when a test says so. */
export class ManualClock implements Clock {
  #now = 0
  readonly #timers = new Set<Timer>()

  now(): number {
    return this.#now
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#now
  }

  every(ms: number, callback: () => void): Cancel {
    return this.#add({ at: this.#now + ms, everyMs: ms, callback })
  }

  after(ms: number, callback: () => void): Cancel {
    return this.#add({ at: this.#now + ms, everyMs: null, callback })
  }

  soon(callback: () => void): void {
    setImmediate(callback)
  }

  /** Fires what is due, in order. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#now = Math.max(this.#now, due.at)
      if (due.everyMs === null) this.#timers.delete(due)
      else due.at += due.everyMs
      due.callback()
    }
    this.#now = end
  }

  /** Timers that have not fired. */
  get pending(): number {
    return this.#timers.size
  }

  #add(timer: Timer): Cancel {
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }
}
