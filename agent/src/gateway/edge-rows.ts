/** A key and what it holds as nginx's shared memory has them; njs/src/dict.ts reads them. */

import { isUtf8 } from 'node:buffer'
import type { KvRow } from '../machine/kv/row.ts'

/** `[spelling]`: the key is gone; `[spelling, row]`. */
export type Op = readonly [string] | readonly [string, string]

const PLAIN = /^[A-Za-z0-9._~-]*$/
/** What nginx can send as a header just as it came. */
const PRINTABLE = /^[ -~]*$/

/** One spelling for each key: every byte but A-Z a-z 0-9 - . _ ~ as upper-case %XX. nginx spells requests the same way. */
export function spellingOf(key: Uint8Array): string {
  const text = Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1')
  if (PLAIN.test(text)) return text
  return text.replace(/[^A-Za-z0-9._~-]/g, char => {
    const code = char.charCodeAt(0)
    return `%${code < 16 ? '0' : ''}${code.toString(16).toUpperCase()}`
  })
}

/**
 * nginx's memory holds text: `u` and the value, or `b` and its base64 where it is no text. In between stands, up to a
 * line's end, what Consul's API tells of a key beside its value; nothing where that is not known.
 */
export function rowOf(value: Uint8Array, row: KvRow | null): string {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
  const about = row === null ? '' : aboutOf(row)
  return isUtf8(bytes)
    ? `u${about}\n${bytes.toString('utf8')}`
    : `b${about}\n${bytes.toString('base64')}`
}

/** Few bytes for what most keys have: a key that was never changed, locked or named is its index alone. */
function aboutOf(row: KvRow): string {
  const { createIndex, modifyIndex, lockIndex, flags, session, contentType } = row
  if (!PRINTABLE.test(contentType) || !PRINTABLE.test(session) || session.includes(',')) return ''
  const created = createIndex === modifyIndex ? '' : String(createIndex)
  const locked = lockIndex === 0 ? '' : String(lockIndex)
  const flagged = flags === 0n ? '' : String(flags)
  const fields = [modifyIndex, created, locked, flagged, session].join(',')
  return contentType === '' ? fields.replace(/,+$/, '') : `${fields},${contentType}`
}

/** @param value null: the key is gone */
export function opOf(spelling: string, value: Uint8Array | null, row: KvRow | null): Op {
  return value === null ? [spelling] : [spelling, rowOf(value, row)]
}
