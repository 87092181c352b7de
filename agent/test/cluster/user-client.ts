/** A client that does what http-api.md asks of clients: follows redirects, repeats what did not happen, and nothing else. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { NodePlace } from '../../../scripts/lib/layout.ts'
import { type Asking, Interrupted } from '../http/client-cases/api.ts'
import { EventStream } from '../http/event-stream.ts'
import { type Answer, request } from '../http/raw-client.ts'

/** what happened to requests */
export interface Tally {
  redirects: number
  /** one request */
  redirectsMost: number
  repeated: number
  interrupted: number
}

/** Leaders may change while a redirect is followed. */
const REDIRECTS_MAX = 10
const REPEAT_AFTER_MS = 25
const PATIENCE_MS = 60_000
/** It certainly did not happen. */
const NOT_DONE = [307, 421, 429, 503]
/** Nobody knows whether it happened; a read may be repeated all the same. */
const UNKNOWN = [0, 502, 504]

export class UserClient {
  readonly #gateway: { readonly host: string; readonly port: number }
  readonly #tally: Tally
  readonly #patient: boolean
  #closed = false

  constructor({ gatewayPort }: NodePlace, tally: Tally, patient: boolean) {
    this.#gateway = { host: '127.0.0.1', port: gatewayPort }
    this.#tally = tally
    this.#patient = patient
  }

  /** @throws Interrupted where nobody knows whether a write happened */
  async ask(line: string, asking: Asking = {}): Promise<Answer> {
    const reads = /^(?:GET|HEAD) /.test(line)
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      const answer = await this.#followed(line, asking)
      const { status } = answer
      if (!this.#patient) return answer
      if (UNKNOWN.includes(status) && !reads) throw new Interrupted(`${line}: ${status}`)
      if (![...NOT_DONE, ...UNKNOWN].includes(status)) return answer
      if (this.#closed) throw new Interrupted('closed')
      if (performance.now() > deadline) throw new Error(`${line}: ${status} all the time`)
      this.#tally.repeated++
      await sleep(REPEAT_AFTER_MS)
    }
  }

  watch(parameters: string, headers: Readonly<Record<string, string>> = {}): EventStream {
    return new EventStream(this.#gateway, `/v1/watch${parameters}`, { ...headers })
  }

  /** What is still asked is not repeated any more. */
  close(): void {
    this.#closed = true
  }

  /** With method, headers and body, as 307 says. */
  async #followed(line: string, asking: Asking): Promise<Answer> {
    let answer = await request(this.#gateway, line, asking)
    for (let hop = 0; answer.status === 307 && hop < REDIRECTS_MAX; hop++) {
      this.#tally.redirects++
      this.#tally.redirectsMost = Math.max(this.#tally.redirectsMost, hop + 1)
      const [, port, target] =
        /^http:\/\/127\.0\.0\.1:(\d+)(\/.*)$/.exec(answer.headers.get('location') ?? '') ?? []
      if (port === undefined) throw new Error(`${line}: 307 without a place`)
      const method = line.slice(0, line.indexOf(' '))
      const where = { host: '127.0.0.1', port: Number(port) }
      answer = await request(where, `${method} ${target}`, asking)
    }
    return answer
  }
}
