/** What one key holds. */
export interface KvRow {
  readonly value: Uint8Array
  /** Index of the entry that made the key. */
  readonly createIndex: number
  /** Index of the entry that last changed it: grows with every holder of a lock, so it fences them off. */
  readonly modifyIndex: number
  /** How often it was locked. */
  readonly lockIndex: number
  readonly flags: bigint
  /** Who holds its lock; '' nobody. */
  readonly session: string
  /** What its writer called the value; '' nothing. */
  readonly contentType: string
}

export interface ListedRow extends KvRow {
  readonly key: Uint8Array
}
