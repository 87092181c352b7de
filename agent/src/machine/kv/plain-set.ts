import type { KvPair } from './command.ts'

/** The commonest command, read without a reader: version, kind, then one key and one value behind their lengths. */

const PLAIN = 1
const SET = 1
const LENGTH_BYTES = 4
/** Version, kind, and the key's length. */
const KEY_AT = 2 + LENGTH_BYTES
const HEADERS_BYTES = KEY_AT + LENGTH_BYTES

/** Length of the key of a `set` of one key that a client may name; -1: another command, or none. */
export function plainKeyLength(command: Uint8Array): number {
  if (command.length < HEADERS_BYTES || command[0] !== PLAIN || command[1] !== SET) return -1
  const keyLength = u32(command, 2)
  const valueLength = command.length - HEADERS_BYTES - keyLength
  // A reserved key begins with NUL.
  if (valueLength < 0 || keyLength === 0 || command[KEY_AT] === 0) return -1
  return u32(command, KEY_AT + keyLength) === valueLength ? keyLength : -1
}

/** Where the key begins in a command that begins at `at`; the value is behind it and one more length. */
export function keyAt(at: number): number {
  return at + KEY_AT
}

/** Where the value begins. */
export function valueAt(at: number, keyLength: number): number {
  return at + HEADERS_BYTES + keyLength
}

/** Bytes of key and value together. */
export function contentLength(command: Uint8Array): number {
  return command.length - HEADERS_BYTES
}

/** Views. Null: another command, or none. */
export function readPlainSet(command: Uint8Array): KvPair | null {
  const keyLength = plainKeyLength(command)
  if (keyLength === -1) return null
  const key = command.subarray(KEY_AT, KEY_AT + keyLength)
  return { key, value: command.subarray(HEADERS_BYTES + keyLength) }
}

function u32(bytes: Uint8Array, at: number): number {
  const [a, b] = [bytes[at] as number, bytes[at + 1] as number]
  const [c, d] = [bytes[at + 2] as number, bytes[at + 3] as number]
  return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0
}
