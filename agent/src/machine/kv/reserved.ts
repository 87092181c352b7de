/**
 * Keys that begin with NUL are the program's own: no client may name one, and no range of a client's reaches them, the
 * one of all keys included. They travel with the others through log, snapshots and copies.
 */

/** What the tokens of clients, and the switch that makes them count, begin with. */
export const ACL_PREFIX: Uint8Array = Buffer.from('\0acl/')

/** Where the keys of clients begin. */
export const FIRST_KEY: Uint8Array = Uint8Array.of(1)
/** Behind all reserved keys and before all others. */
export const RESERVED_END: Uint8Array = Uint8Array.of(0, 0xff)

export function isReserved(key: Uint8Array): boolean {
  return key[0] === 0
}
