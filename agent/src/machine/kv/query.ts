import type { LogPosition } from '../../raft/types.ts'

export type KvQuery = { readonly kind: 'get'; readonly key: Uint8Array }

/** What one key holds, and as of which entry. */
export interface KvAnswer {
  /** The applied position that the answer shows. */
  readonly applied: LogPosition
  /** Null when there is no such key. */
  readonly row: KvRow | null
}

export interface KvRow {
  readonly value: Uint8Array
  /** Index of the entry that made the key. */
  readonly createIndex: number
  /** Index of the entry that last wrote it. */
  readonly modifyIndex: number
}
