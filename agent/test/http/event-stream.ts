import http from 'node:http'
import type { NetConnectOpts } from 'node:net'

export interface ServerSentEvent {
  readonly id: string
  readonly event: string
  readonly data: string
}

/** One watch, as a client sees it. */
export class EventStream {
  /** null until an answer came */
  status: number | null = null
  readonly events: ServerSentEvent[] = []
  ended = false
  readonly #request: http.ClientRequest
  #response: http.IncomingMessage | null = null

  constructor(where: NetConnectOpts, path: string, headers: Record<string, string> = {}) {
    const options = { ...(where as { host?: string; port?: number; socketPath?: string }) }
    if ('path' in where) options.socketPath = where.path
    this.#request = http.get({ ...options, path, headers, agent: false }, response => {
      this.status = response.statusCode ?? 0
      this.#response = response
      response.setEncoding('utf8')
      let text = ''
      response.on('data', (chunk: string) => {
        text += chunk
        const blocks = text.split('\n\n')
        text = blocks.pop() ?? ''
        for (const block of blocks) this.events.push(parse(block))
      })
      response.on('close', () => {
        this.ended = true
      })
      response.on('error', () => {})
    })
    this.#request.on('error', () => {
      this.ended = true
    })
  }

  /** `change` events: their indexes and what changed. */
  get changes(): { index: number; changes: Record<string, unknown>[] }[] {
    return this.events.filter(({ event }) => event === 'change').map(({ data }) => JSON.parse(data))
  }

  /** What a client sends as Last-Event-ID when it comes back. */
  get lastId(): string {
    return this.events.findLast(({ id }) => id !== '')?.id ?? ''
  }

  pause(): void {
    this.#response?.pause()
  }

  resume(): void {
    this.#response?.resume()
  }

  close(): void {
    this.#request.destroy()
  }
}

function parse(block: string): ServerSentEvent {
  const fields = new Map(
    block
      .split('\n')
      .map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
  )
  const field = (name: string): string => fields.get(name) ?? ''
  return { id: field('id'), event: field('event'), data: field('data') }
}
