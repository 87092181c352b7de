import { ok } from 'node:assert/strict'
import type { EventStream } from '../event-stream.ts'
import { type Api, Interrupted } from './api.ts'

/** Follows a watch as a client should: comes back with the last id that it has seen. */
export class Follower {
  readonly changes: string[][][] = []
  resumed = 0
  readonly #api: Api
  readonly #parameters: string
  #stream: EventStream
  #last: string
  #taken = 0
  #left = false

  constructor(api: Api, parameters: string, since: number) {
    this.#api = api
    this.#parameters = parameters
    this.#last = String(since)
    this.#stream = api.watch(parameters, { 'Last-Event-ID': this.#last })
  }

  /** In the middle of what is sent. */
  leave(): void {
    this.#left = true
  }

  /** @throws Interrupted where the history has gone */
  saw(key: string): boolean {
    const stream = this.#stream
    for (const { index, changes } of stream.changes.slice(this.#taken)) {
      this.#taken++
      ok(index > Number(this.#last), 'in the order of the log, and once')
      this.#last = String(index)
      this.changes.push(changes.map(({ op, key: name }) => [String(op), String(name)]))
    }
    if (stream.status === 410) throw new Interrupted('410')
    if (stream.ended || (this.#left && stream.status !== null)) this.#resume()
    return this.changes.flat().some(([, name]) => name === `${this.#api.prefix}${key}`)
  }

  stop(): void {
    this.#stream.close()
  }

  #resume(): void {
    this.#stream.close()
    this.#left = false
    this.resumed++
    this.#taken = 0
    this.#stream = this.#api.watch(this.#parameters, { 'Last-Event-ID': this.#last })
  }
}
