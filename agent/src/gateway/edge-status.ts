import type { Watermark } from './edge-batch.ts'

/**
 * `following`: nginx's memory is kept equal to the store. `copying`: all of it is being sent. `full`: it does not fit.
 * `unreachable`: this nginx does not run, or takes nothing. `stuck`: it runs and does not answer. `withheld`: it was
 * emptied, since what this node has is not to be relied on.
 */
export type EdgeState =
  | 'starting'
  | 'copying'
  | 'following'
  | 'full'
  | 'unreachable'
  | 'stuck'
  | 'withheld'

/** What an agent knows of the memory of its nginx. */
export interface EdgeStatus {
  readonly state: EdgeState
  /** the entry as of which it is the store; null: it is not, or nobody knows */
  readonly index: number | null
  /** spellings that keys begin with, where only some are kept there; empty: all keys */
  readonly only: readonly string[]
  /** bytes of it, and of those the ones in pages that nothing uses, as told last */
  readonly capacity: number
  readonly free: number
  /** batches taken, and full copies begun, since this agent started */
  readonly batches: number
  readonly copies: number
  /** batches in a row that had no answer */
  readonly missed: number
}

/** The watermark in nginx's refusal; null where it has none, or this is no such answer. */
export function asWatermark(body: string): Watermark | null {
  try {
    const { watermark } = JSON.parse(body) as { watermark: Watermark | null }
    return watermark ?? null
  } catch {
    return null
  }
}
