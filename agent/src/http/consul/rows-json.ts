import type { AnsweredRow } from '../../machine/kv/answer.ts'
import type { ListedRow } from '../../machine/kv/row.ts'

/** One key as Consul shows it. By hand: flags have 64 bits, which no JavaScript number holds. */
export function rowJson(row: ListedRow | AnsweredRow): string {
  const { key, value, flags, lockIndex, createIndex, modifyIndex, session } = row
  const holder = session === '' ? '' : `,"Session":${JSON.stringify(session)}`
  // An empty value is null, as in Consul.
  const text =
    value === null || value.length === 0 ? 'null' : `"${buffer(value).toString('base64')}"`
  return `{"LockIndex":${lockIndex},"Key":${keyJson(key)},"Flags":${flags},"Value":${text}${holder},"CreateIndex":${createIndex},"ModifyIndex":${modifyIndex}}`
}

/** Bytes that are no UTF-8 show as U+FFFD, as in Consul. */
export function keyJson(key: Uint8Array): string {
  return JSON.stringify(buffer(key).toString('utf8'))
}

function buffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
