import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import type { BodyBudget } from './body-budget.ts'
import { type Incoming, isWhole, type WholeRequest } from './fast/whole-request.ts'
import type { Head } from './head.ts'
import { isRefusal, type Refusal, refuse } from './refusal.ts'

/** What a refused body may still send before its connection is cut, so that the client reads the answer. */
const DISCARD_BYTES_MAX = 8 * 1024 * 1024

/** curl's default type counts as JSON, since the seed's examples send it; so does none at all. */
const TYPES: ReadonlySet<string> = new Set([
  'application/json',
  'application/x-www-form-urlencoded',
])
const CHARSET = /^charset="?utf-8"?$/i

/** Refuses by the head alone; null when the body is worth reading. */
export function checkBodyHead(head: Head): Refusal | null {
  const { contentType, contentEncoding } = head
  if (contentEncoding !== null && contentEncoding.toLowerCase() !== 'identity') {
    return refuse(415, 'CONTENT_ENCODING', 'a body comes without Content-Encoding')
  }
  if (contentType !== null && !isJsonType(contentType)) {
    return refuse(415, 'CONTENT_TYPE', 'the body is application/json in UTF-8')
  }
  return null
}

/** Where bodies are kept, and how long each may be. */
export interface BodyLimits {
  readonly bodies: BodyBudget
  readonly bytesMax: number
}

/** For every request: one whose length is announced is refused before a byte of it is read. */
export function checkBodyLength(head: Head, bytesMax: number): Refusal | null {
  return head.contentLength !== null && head.contentLength > bytesMax ? tooLarge(bytesMax) : null
}

/**
 * The whole body as text, or why not. Never holds more than `bytesMax`, nor, with all others, than their budget.
 * A client that leaves half-way gives a refusal too, which nobody will read.
 */
export async function readText(
  incoming: Incoming,
  limits: BodyLimits,
): Promise<{ readonly text: string } | Refusal> {
  return textOf(await readBody(incoming, limits))
}

/** As `readText`, of what has come wholly. */
export function wholeText(
  incoming: WholeRequest,
  limits: BodyLimits,
): { readonly text: string } | Refusal {
  return textOf(wholeBody(incoming, limits))
}

function textOf(bytes: Buffer | Refusal): { readonly text: string } | Refusal {
  if (isRefusal(bytes)) return bytes
  // A byte order mark is valid UTF-8; JSON has no use for it and the scanner refuses it.
  if (!isUtf8(bytes)) return refuse(400, 'BAD_BODY', 'the body is not UTF-8')
  return { text: bytes.toString('utf8') }
}

/** As `readText`, of any content. */
export async function readBody(incoming: Incoming, limits: BodyLimits): Promise<Buffer | Refusal> {
  if (isWhole(incoming)) return wholeBody(incoming, limits)
  return bodyOf(await readBytes(incoming, limits), limits.bytesMax)
}

/** As `readBody`, of what has come wholly. */
export function wholeBody(incoming: WholeRequest, limits: BodyLimits): Buffer | Refusal {
  return bodyOf(wholeBytes(incoming, limits), limits.bytesMax)
}

function bodyOf(
  bytes: Buffer | 'too-large' | 'no-room' | 'aborted',
  bytesMax: number,
): Buffer | Refusal {
  if (bytes === 'too-large') return tooLarge(bytesMax)
  if (bytes === 'no-room') {
    return refuse(
      503,
      'OVERLOADED',
      'the bodies of other requests fill the memory; nothing happened',
    )
  }
  if (bytes === 'aborted') return refuse(400, 'BODY_INCOMPLETE', 'the body ended early')
  return bytes
}

function wholeBytes(
  incoming: WholeRequest,
  { bodies, bytesMax }: BodyLimits,
): Buffer | 'too-large' | 'no-room' {
  const { whole } = incoming
  if (whole.length > bytesMax) return 'too-large'
  return bodies.take(incoming, whole.length) ? whole : 'no-room'
}

function readBytes(
  incoming: IncomingMessage,
  { bodies, bytesMax }: BodyLimits,
): Promise<Buffer | 'too-large' | 'no-room' | 'aborted'> {
  return new Promise(resolve => {
    const chunks: Buffer[] = []
    let length = 0
    const onData = (chunk: Buffer): void => {
      length += chunk.length
      const fits = length <= bytesMax
      if (fits && bodies.take(incoming, chunk.length)) {
        chunks.push(chunk)
        return
      }
      incoming.off('data', onData)
      chunks.length = 0
      bodies.release(incoming)
      resolve(fits ? 'no-room' : 'too-large')
    }
    if (incoming.destroyed) resolve('aborted') // the client left while the request waited its turn
    incoming.on('data', onData)
    incoming.on('end', () =>
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)),
    )
    incoming.on('close', () => resolve('aborted')) // after 'end' it changes nothing
  })
}

/**
 * Takes leave of a body that nobody will read. A short one is swallowed and the connection lives on.
 * Otherwise the answer must say `Connection: close`, and the rest is discarded until the client stops,
 * sends too much or too long: closing at once would reset the connection under the unread answer.
 * @returns whether the answer must close
 */
export function abandonBody(incoming: Incoming, bytesMax: number): boolean {
  if (isWhole(incoming)) return false
  const { headers, socket } = incoming
  const chunked = headers['transfer-encoding'] !== undefined
  const announced = Number(headers['content-length'] ?? 0)
  if (incoming.complete || (!chunked && announced <= bytesMax)) return false
  let discarded = 0
  incoming.on('data', (chunk: Buffer) => {
    discarded += chunk.length
    if (discarded > DISCARD_BYTES_MAX) socket.destroy()
  })
  // Node calls this once the answer is written. The request's timeout ends a client that never stops.
  socket.destroySoon = () => socket.end()
  return true
}

function isJsonType(contentType: string): boolean {
  if (contentType === 'application/json') return true
  const [type = '', ...parameters] = contentType.split(';').map(part => part.trim())
  if (!TYPES.has(type.toLowerCase())) return false
  return parameters.every(parameter => !/^charset=/i.test(parameter) || CHARSET.test(parameter))
}

function tooLarge(bytesMax: number): Refusal {
  return refuse(413, 'BODY_TOO_LARGE', `a body has at most ${bytesMax} bytes`)
}
