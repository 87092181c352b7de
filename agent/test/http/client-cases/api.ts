import { equal } from 'node:assert/strict'
import type { EventStream } from '../event-stream.ts'
import type { Answer } from '../raw-client.ts'

export interface Asking {
  readonly headers?: readonly string[]
  readonly body?: string | Buffer
}

export interface Api {
  /** of keys that nobody else writes, percent-encoding changes nothing of it */
  readonly prefix: string
  /** nobody else comes to lead meanwhile: between an answer and its headers there may be no leader */
  readonly steady: boolean
  /** The answer that decides it. @throws Interrupted where nobody knows what happened */
  ask(line: string, asking?: Asking): Promise<Answer>
  /** `/v1/watch` with these parameters; closed by whoever asked. */
  watch(parameters: string, headers?: Readonly<Record<string, string>>): EventStream
  until(what: string, check: () => boolean): Promise<void>
}

/** The answer is unknown, or the history that it needed has gone with an agent: begin anew elsewhere. */
export class Interrupted extends Error {}

export interface ClientCase {
  readonly name: string
  /** @throws AssertionError */
  readonly run: (api: Api) => Promise<void>
}

export interface Row {
  readonly Key: string
  readonly Value: string | null
  readonly Flags: number
  readonly LockIndex: number
  readonly CreateIndex: number
  readonly ModifyIndex: number
  readonly Session?: string
}

export const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** The requests of a case, with keys below its prefix. */
export class Caller {
  readonly prefix: string
  readonly #api: Api

  constructor(api: Api) {
    this.prefix = api.prefix
    this.#api = api
  }

  put(target: string, body: string | Buffer = '', ...headers: string[]): Promise<Answer> {
    return this.#api.ask(`PUT /v1/kv/${this.prefix}${target}`, { body, headers })
  }

  get(target: string, ...headers: string[]): Promise<Answer> {
    return this.#api.ask(`GET /v1/kv/${this.prefix}${target}`, { headers })
  }

  del(target: string, ...headers: string[]): Promise<Answer> {
    return this.#api.ask(`DELETE /v1/kv/${this.prefix}${target}`, { headers })
  }

  async row(key: string): Promise<Row> {
    const [row] = JSON.parse((await this.get(key)).body) as [Row]
    return row
  }

  /** Without the prefix. */
  async names(target: string): Promise<string[]> {
    const names = JSON.parse((await this.get(target)).body) as string[]
    return names.map(name => name.slice(this.prefix.length))
  }

  txn(...steps: readonly object[]): Promise<Answer> {
    return this.#api.ask('PUT /v1/txn', { body: JSON.stringify(steps.map(KV => ({ KV }))) })
  }

  async session(body: object = {}): Promise<string> {
    const answer = await this.#api.ask('PUT /v1/session/create', { body: JSON.stringify(body) })
    equal(answer.status, 200)
    return (JSON.parse(answer.body) as { ID: string }).ID
  }
}

export const indexOf = (answer: Answer): number => Number(answer.headers.get('x-consul-index'))
/** ModifyIndex of what was written. */
export const tagOf = (answer: Answer): number =>
  Number(answer.headers.get('etag')?.replaceAll('"', ''))
/** Reads of this show what the answer showed, at whichever node. */
export const seen = (answer: Answer): string =>
  `X-Raft-Min-Index: ${answer.headers.get('x-raft-index')}`
