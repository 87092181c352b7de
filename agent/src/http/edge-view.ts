/** What an agent knows of the memory of its nginx, as its filler tells it. */
export interface EdgeView {
  readonly state: EdgeState
  /** the entry as of which it is the store; null: it is not, or nobody knows */
  readonly index: number | null
  /** spellings that keys begin with, where only some are kept there; empty: all keys */
  readonly only: readonly string[]
  /** bytes of it, and of those the ones in pages that nothing uses, as told last */
  readonly capacity: number
  readonly free: number
  /** since this agent started: batches that were taken, and copies of everything that were begun */
  readonly batches: number
  readonly copies: number
  /** batches in a row that had no answer */
  readonly missed: number
}

/**
 * `following`: nginx's memory is kept equal to the store. `copying`: all of it is being sent. `full`: it does not fit.
 * `unreachable`: this nginx does not run, or takes nothing. `stuck`: it runs and does not answer. `withheld`: it was
 * emptied, since what this node has is not to be relied on.
 */
export const EDGE_STATES = [
  'starting',
  'copying',
  'following',
  'full',
  'unreachable',
  'stuck',
  'withheld',
] as const

export type EdgeState = (typeof EDGE_STATES)[number]
