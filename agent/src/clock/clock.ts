/** Stops a timer; harmless when it has fired. */
export type Cancel = () => void

/** Time, as a port: the simulator has its own. */
export interface Clock {
  /** Monotonic milliseconds since an arbitrary start. Never jumps. */
  now(): number
  /** Unix milliseconds. May jump; decides nothing that safety needs. */
  wallMs(): number
  /** Calls `callback` every `ms` milliseconds. */
  every(ms: number, callback: () => void): Cancel
  /** Calls `callback` once, after `ms` milliseconds. */
  after(ms: number, callback: () => void): Cancel
  /** Calls `callback` once, after what has already arrived was read, and before any later timer. */
  soon(callback: () => void): void
}
