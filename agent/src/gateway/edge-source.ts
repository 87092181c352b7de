/** What the filler of nginx's memory follows: this node's applied changes, and what there was before them. */

import type { KvRow, ListedRow } from '../machine/kv/row.ts'
import type { Opening } from './edge-open.ts'

export interface KeyChange {
  readonly key: Uint8Array
  /** null: the key is gone */
  readonly value: Uint8Array | null
  /** null: not known, or the key is gone */
  readonly row: KvRow | null
}

/** What one entry has changed. */
export interface EntryChange {
  readonly index: number
  readonly changes: readonly KeyChange[]
}

export interface EdgeSource {
  /** To whom keys may be shown, as of `last()`. */
  open(): Opening
  /** Every change after this index is still at hand. */
  since(): number
  /** Index of the last applied entry, whether it changed anything or not. */
  last(): number
  /** The changes after `after`, oldest first; null when some are no longer at hand. */
  read(after: number): readonly EntryChange[] | null
  /** Calls back after each batch that was applied, whether it changed anything or not. Returns how to stop it. */
  listen(moved: () => void): () => void
  /** The next keys in order of their bytes, as they are now; none: there are no more. */
  page(after: Uint8Array | null): Promise<readonly ListedRow[]>
  /** How old `last()` can be, ms; null: no one knows. Never less than it is. */
  stalenessMs(): number | null
  /** False: what this node has is not to be relied on, and must not be shown. `page` may reject then. */
  serves(): boolean
}
