import { Agent, request } from 'node:http'

export type Answer =
  | { readonly kind: 'answer'; readonly status: number; readonly body: string }
  /** Nobody listens, or the connection broke: `why` in words. */
  | { readonly kind: 'unreachable'; readonly why: string }
  /** It may have been taken, and may still be. */
  | { readonly kind: 'timeout' }

/** A kept connection to the nginx of this machine. */
export class EdgeClient {
  readonly #socket: string
  readonly #timeoutMs: number
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })

  constructor(socket: string, timeoutMs: number) {
    this.#socket = socket
    this.#timeoutMs = timeoutMs
  }

  /** Never rejects. */
  post(body: string): Promise<Answer> {
    return new Promise(resolve => {
      const outgoing = request({
        socketPath: this.#socket,
        path: '/apply',
        method: 'POST',
        agent: this.#agent,
        headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
      })
      const timer = setTimeout(() => {
        resolve({ kind: 'timeout' })
        outgoing.destroy()
      }, this.#timeoutMs)
      const settle = (answer: Answer) => {
        clearTimeout(timer)
        resolve(answer)
      }
      const broken = (error: Error) => settle({ kind: 'unreachable', why: error.message })
      outgoing.on('error', broken)
      outgoing.on('response', incoming => {
        let text = ''
        incoming.setEncoding('utf8')
        incoming.on('data', (chunk: string) => {
          text += chunk
        })
        incoming.on('error', broken)
        incoming.on('end', () =>
          settle({ kind: 'answer', status: incoming.statusCode ?? 0, body: text }),
        )
      })
      outgoing.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}
