import { setTimeout as sleep } from 'node:timers/promises'
import { refusal } from './client.ts'
import type { Context } from './context.ts'
import { type Answer, type Endpoint, open } from './endpoint.ts'
import { CommandError, EXIT, failed } from './exit.ts'

/** One event of a stream, as RFC-less as Server-Sent Events are (WHATWG HTML, 9.2). */
export interface StreamEvent {
  readonly event: string
  /** '' where it has none */
  readonly id: string
  readonly data: string
}

const COMPACTED = 'the changes behind that index are gone: read the keys, and watch from there'
const PAUSE_MS = 500
/** As many rounds over all endpoints without a connection end the watch. */
const ROUNDS_MAX = 20

/** Reads events out of text that comes in pieces; a comment or a bookmark without data counts too. */
export class EventReader {
  #rest = ''
  #event = ''
  #id = ''
  #data: string[] = []

  /** The events that are complete now. */
  push(text: string): readonly StreamEvent[] {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/)
    this.#rest = lines.pop() ?? ''
    return lines.flatMap(line => this.#line(line))
  }

  #line(line: string): readonly StreamEvent[] {
    if (line === '') return this.#end()
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'event') this.#event = value
    if (field === 'id') this.#id = value
    if (field === 'data') this.#data.push(value)
    return []
  }

  #end(): readonly StreamEvent[] {
    const event = { event: this.#event || 'message', id: this.#id, data: this.#data.join('\n') }
    const empty = this.#data.length === 0 && this.#event === ''
    this.#event = ''
    this.#data = []
    return empty ? [] : [event]
  }
}

/** `kv watch`: goes on at the next endpoint where a stream breaks, behind the last index that it saw. */
export async function watch(
  context: Context,
  prefix: string,
  { since }: { readonly since?: string },
): Promise<void> {
  const { client } = context
  const interrupted = context.interrupt()
  let last = since ?? ''
  for (let rounds = 0; rounds < ROUNDS_MAX; rounds++) {
    for (const endpoint of client.endpoints) {
      const seen = await follow(context, endpoint, { prefix, last, interrupted })
      if (interrupted.aborted) return
      if (seen !== null) {
        last = seen
        rounds = 0
      }
    }
    await sleep(PAUSE_MS, undefined, { signal: interrupted }).catch(() => {})
    if (interrupted.aborted) return
  }
  throw new CommandError(EXIT.unsettled, 'no endpoint serves a watch', null)
}

interface Following {
  readonly prefix: string
  readonly last: string
  readonly interrupted: AbortSignal
}

/** One stream to its end. @returns the last index; null when there was no stream */
async function follow(
  context: Context,
  endpoint: Endpoint,
  { prefix, last, interrupted }: Following,
): Promise<string | null> {
  const since = last === '' ? '' : `&since=${last}`
  const path = `/v1/watch?prefix=${encodeURIComponent(prefix)}${since}`
  const headers = { Accept: 'text/event-stream' }
  let incoming: Awaited<ReturnType<typeof open>>
  try {
    incoming = await open(endpoint, { method: 'GET', path, headers }, interrupted)
  } catch {
    return null
  }
  const { statusCode: status = 0 } = incoming
  if (status >= 500) {
    incoming.destroy()
    return null
  }
  if (status !== 200) throw refusal(await whole(incoming, status))
  return print(context, incoming, last)
}

function show(stdout: Context['stdout'], { event, data }: StreamEvent): void {
  if (event === 'change') stdout.write(`${data}\n`)
  if (event === 'dropped' && data.includes('"compacted"')) throw failed(COMPACTED)
}

async function print(
  { stdout }: Context,
  incoming: AsyncIterable<Buffer>,
  last: string,
): Promise<string> {
  const reader = new EventReader()
  const decoder = new TextDecoder()
  let seen = last
  try {
    for await (const chunk of incoming) {
      for (const event of reader.push(decoder.decode(chunk, { stream: true }))) {
        if (event.id !== '') seen = event.id
        show(stdout, event)
      }
    }
  } catch (error) {
    if (error instanceof CommandError) throw error
    // it broke: the next one goes on where this one ended
  }
  return seen
}

async function whole(
  incoming: AsyncIterable<Buffer> & Pick<Answer, 'headers'>,
  status: number,
): Promise<Answer> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  return { status, headers: incoming.headers, body: Buffer.concat(chunks) }
}
