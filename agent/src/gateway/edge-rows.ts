/** A key and its value as nginx's shared memory holds them; njs/src/dict.ts reads them. */

import { isUtf8 } from 'node:buffer'

/** `[spelling]`: the key is gone; `[spelling, row]`. */
export type Op = readonly [string] | readonly [string, string]

const PLAIN = /^[A-Za-z0-9._~-]*$/

/** One spelling for each key: every byte but A-Z a-z 0-9 - . _ ~ as upper-case %XX. nginx spells requests the same way. */
export function spellingOf(key: Uint8Array): string {
  const text = Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1')
  if (PLAIN.test(text)) return text
  return text.replace(/[^A-Za-z0-9._~-]/g, char => {
    const code = char.charCodeAt(0)
    return `%${code < 16 ? '0' : ''}${code.toString(16).toUpperCase()}`
  })
}

/** nginx's memory holds text: what is none travels as base64. */
export function rowOf(value: Uint8Array): string {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
  return isUtf8(bytes) ? `u${bytes.toString('utf8')}` : `b${bytes.toString('base64')}`
}

/** @param value null: the key is gone */
export function opOf(spelling: string, value: Uint8Array | null): Op {
  return value === null ? [spelling] : [spelling, rowOf(value)]
}
