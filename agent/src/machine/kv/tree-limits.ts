/**
 * What one command or query may do to a whole prefix: all of it happens in one turn of the event loop, a tenth
 * of a second or so, in which nothing else is served. Equal on every node: they decide results.
 */

/** Keys that one step may delete. */
export const TREE_KEYS_MAX = 50_000

/** Rows that one answer may hold, bytes: keys, values, and what it costs to keep a row. */
export const ROWS_BYTES_MAX = 16 * 1024 * 1024

/** Names that one answer may hold, bytes. */
export const NAMES_BYTES_MAX = 16 * 1024 * 1024

const ROW_BYTES = 128

export function rowBytes({ key, value }: { key: Uint8Array; value: Uint8Array }): number {
  return ROW_BYTES + key.length + value.length
}

/** A name costs more steps than its bytes. */
export function nameBytes(name: Uint8Array): number {
  return ROW_BYTES + name.length
}
