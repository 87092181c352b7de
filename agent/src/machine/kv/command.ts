/** One entry's worth of change; all of it happens, or none. Keys and values are bytes. */
export type KvCommand =
  | { readonly kind: 'set'; readonly pairs: readonly KvPair[] }
  | { readonly kind: 'delete'; readonly key: Uint8Array }

export interface KvPair {
  readonly key: Uint8Array
  readonly value: Uint8Array
}
