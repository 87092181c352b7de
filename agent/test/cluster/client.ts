/** A client that keeps its connections, as gateways' clients do, and tells every way in which a request can end. */

import http from 'node:http'

export interface Answer {
  /** 0: no answer came */
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
  readonly ms: number
}

export interface Ask {
  readonly method?: string
  readonly path: string
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Longer than the gateway waits: 15 s. */
const TIMEOUT_MS = 25_000

export interface ClientOptions {
  /** false: every request on a connection of its own, and never sent twice */
  readonly keepAlive?: boolean
  readonly timeoutMs?: number
}

export class Client {
  readonly #base: URL
  readonly #agent: http.Agent
  readonly #timeoutMs: number

  constructor(base: string, { keepAlive = true, timeoutMs = TIMEOUT_MS }: ClientOptions = {}) {
    this.#base = new URL(base)
    this.#timeoutMs = timeoutMs
    this.#agent = new http.Agent({ keepAlive })
  }

  /**
   * Never rejects. A kept connection may be closed by a reload just when a request is sent on it; where not a byte of
   * an answer came, it is sent again on a new connection, as browsers and proxies do. Only for what may be repeated.
   */
  async ask(ask: Ask): Promise<Answer> {
    const begin = performance.now()
    const first = await this.#once(ask, this.#agent)
    const { reused, ...answer } = first
    if (answer.status !== 0 || !reused) return { ...answer, ms: performance.now() - begin }
    const { reused: _, ...second } = await this.#once(ask, new http.Agent())
    return { ...second, ms: performance.now() - begin }
  }

  get(path: string): Promise<Answer> {
    return this.ask({ path })
  }

  write(pairs: Readonly<Record<string, string>>): Promise<Answer> {
    return this.ask({ method: 'POST', path: '/key', body: JSON.stringify(pairs) })
  }

  remove(key: string): Promise<Answer> {
    return this.ask({ method: 'DELETE', path: `/key/${encodeURIComponent(key)}` })
  }

  /** The value of a key, `''` when there is none, null without an answer of 200. */
  async read(key: string): Promise<string | null> {
    const { status, body } = await this.get(`/key/${encodeURIComponent(key)}`)
    if (status !== 200) return null
    return (JSON.parse(body) as Record<string, string>)[key] ?? null
  }

  close(): void {
    this.#agent.destroy()
  }

  #once(ask: Ask, agent: http.Agent): Promise<Omit<Answer, 'ms'> & { reused: boolean }> {
    return new Promise(resolve => {
      const request = http.request(new URL(ask.path, this.#base), {
        method: ask.method ?? 'GET',
        headers: ask.headers ?? {},
        agent,
        timeout: this.#timeoutMs,
      })
      const fail = () => resolve({ status: 0, headers: {}, body: '', reused: request.reusedSocket })
      request.on('timeout', () => request.destroy(new Error('no answer in time')))
      request.on('error', fail)
      request.on('response', response => {
        let body = ''
        response.setEncoding('utf8')
        response.on('data', (text: string) => {
          body += text
        })
        response.on('error', fail)
        response.on('end', () => {
          const { statusCode = 0, headers } = response
          resolve({ status: statusCode, headers, body, reused: request.reusedSocket })
        })
      })
      request.end(ask.body)
    })
  }
}
