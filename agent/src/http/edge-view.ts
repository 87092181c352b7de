/** What an agent knows of the memory of its nginx; gateway/edge-status.ts says what the states mean. */
export interface EdgeView {
  readonly state: (typeof EDGE_STATES)[number]
  /** the entry as of which it is the store; null: it is not, or nobody knows */
  readonly index: number | null
  /** spellings that keys begin with, where only some are kept there; empty: all keys */
  readonly only: readonly string[]
  /** bytes */
  readonly capacity: number
  readonly free: number
  /** since this agent started: batches that were taken, and copies of everything that were begun */
  readonly batches: number
  readonly copies: number
  /** batches in a row that had no answer */
  readonly missed: number
}

export const EDGE_STATES = [
  'starting',
  'copying',
  'following',
  'full',
  'unreachable',
  'stuck',
  'withheld',
] as const
