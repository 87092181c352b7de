import type { Change, EntryChanges } from '../../machine/kv/change.ts'

/** What a watcher is sent, as Server-Sent Events. */

/** Which keys may be shown; null: all. */
export type Readable = ((key: Uint8Array) => boolean) | null

/** What of an entry lies below the prefix and may be shown, as one event; empty when nothing does. */
export function changeEvent(
  { index, changes }: EntryChanges,
  prefix: Uint8Array,
  readable: Readable,
): string {
  const all = prefix.length === 0 && readable === null
  const below = all
    ? changes
    : changes.filter(({ key }) => startsWith(key, prefix) && (readable === null || readable(key)))
  if (below.length === 0) return ''
  return event('change', index, `{"index":${index},"changes":[${below.map(changeJson).join(',')}]}`)
}

/** Nothing more happened below the prefix up to `index`: from there a watch may go on. */
export function bookmarkEvent(index: number): string {
  return event('bookmark', index, `{"index":${index}}`)
}

/** The last event: what follows is not sent. Without an id, so that a client resumes behind what it has seen. */
export function droppedEvent(reason: 'compacted' | 'closing' | 'forbidden'): string {
  return `event: dropped\ndata: {"reason":"${reason}"}\n\n`
}

function event(name: string, id: number, data: string): string {
  return `id: ${id}\nevent: ${name}\ndata: ${data}\n\n`
}

function changeJson({ key, value, flags }: Change): string {
  const name = nameJson(buffer(key))
  if (value === null) return `{"op":"delete",${name}}`
  return `{"op":"set",${name},"value":"${buffer(value).toString('base64')}","flags":${flags}}`
}

/** A key that is no UTF-8 would not be told from others by its text. */
function nameJson(key: Buffer): string {
  const text = key.toString('utf8')
  const exact = Buffer.from(text).equals(key) ? '' : `,"keyBase64":"${key.toString('base64')}"`
  return `"key":${JSON.stringify(text)}${exact}`
}

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return (
    key.length >= prefix.length &&
    buffer(key).compare(prefix, 0, prefix.length, 0, prefix.length) === 0
  )
}

function buffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
