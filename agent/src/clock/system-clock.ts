import type { Cancel, Clock } from './clock.ts'

/** The machine's own clocks and Node's timers. */
export class SystemClock implements Clock {
  now(): number {
    return performance.now()
  }

  wallMs(): number {
    return Date.now()
  }

  every(ms: number, callback: () => void): Cancel {
    const timer = setInterval(callback, ms)
    return () => clearInterval(timer)
  }

  after(ms: number, callback: () => void): Cancel {
    const timer = setTimeout(callback, ms)
    return () => clearTimeout(timer)
  }

  soon(callback: () => void): void {
    setImmediate(callback)
  }
}
