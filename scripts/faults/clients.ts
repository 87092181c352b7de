/** Clients that increment through random gateways, whatever happens to the agents. */

import { setTimeout as sleep } from 'node:timers/promises'
import { Prng } from '../../agent/src/lib/prng.ts'
import { type Answer, type Ask, Client } from '../../agent/test/cluster/client.ts'
import type { Subject } from './subjects.ts'
import { endingOf, type Tally } from './tally.ts'

const CLIENTS = 6
/** Between two requests of a client: the machine is there for the cluster. */
const PAUSE_MS = 15
/** After a refusal. */
const RETRY_MS = 40
const TIMEOUT_MS = 8_000
/** Of a hundred: with an Idempotency-Key, and consistent reads. */
const KEYED = 12
const READS = 8
/** For the requests that are repeated until they are answered, ms. */
const LAST_ANSWERS_MS = 60_000
/** Of those that were answered, how many are sent once more in the end. */
const REPEATED_MAX = 60

export interface ClientsOptions {
  readonly subject: Subject
  readonly tally: Tally
  readonly seed: number
  /** while their agents run */
  readonly disksFail: boolean
  /** those that clients know at the moment */
  readonly gateways: () => readonly string[]
}

export class Clients {
  readonly #options: ClientsOptions
  readonly #ways = new Map<string, Client>()
  #stopped = false
  #abandoned = false
  #patience = Number.POSITIVE_INFINITY
  #running: readonly Promise<void>[] = []

  constructor(options: ClientsOptions) {
    this.#options = options
  }

  start(): void {
    const prngs = Array.from({ length: CLIENTS }, (_, at) => new Prng(this.#options.seed + at))
    this.#running = prngs.map((prng, at) => this.#run(prng, `${this.#options.seed}-${at}`))
  }

  /** Once every agent runs: what has to be answered is, or is given up as unknown. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#patience = performance.now() + LAST_ANSWERS_MS
    await Promise.all(this.#running)
  }

  /** The run is over: nothing that they have not learnt yet is held against anybody. */
  async abandon(): Promise<void> {
    this.#stopped = true
    this.#abandoned = true
    this.#patience = 0
    await Promise.all(this.#running)
  }

  /** Every answer that somebody relied on is given again. */
  async repeat(prng: Prng): Promise<void> {
    const { tally } = this.#options
    const keys = [...tally.keys.keys()]
    while (keys.length > REPEATED_MAX) keys.splice(prng.between(0, keys.length), 1)
    for (const key of keys) {
      const number = await this.#untilAnswered(prng, key)
      if (number === undefined) tally.violation(`the request ${key} is not answered any more`)
      else tally.repeated(key, number)
    }
  }

  async #run(prng: Prng, name: string): Promise<void> {
    for (let count = 0; !this.#stopped; count++) {
      const kind = prng.between(0, 100)
      if (kind < KEYED) await this.#incrementOnce(prng, `${name}-${count}`)
      else if (kind < KEYED + READS) await this.#read(prng)
      else await this.#increment(prng)
      await sleep(PAUSE_MS)
    }
  }

  async #increment(prng: Prng): Promise<void> {
    const { subject, tally } = this.#options
    const begun = tally.begin()
    const answer = await this.#ask(prng, subject.increment)
    tally.end(begun, answer.status, numberIn(subject, answer))
    if (answer.status !== 200) await sleep(RETRY_MS)
  }

  /** Sent again and again, to any gateway, until it is answered 200: that counts once. */
  async #incrementOnce(prng: Prng, key: string): Promise<void> {
    const { tally } = this.#options
    const begun = tally.begin()
    const number = await this.#untilAnswered(prng, key)
    if (number === undefined) {
      tally.end(begun, 0, null)
      if (!this.#abandoned) tally.violation(`the request ${key} was never answered`)
    } else tally.endKey(begun, key, number)
  }

  /** @returns undefined when patience ended first */
  async #untilAnswered(prng: Prng, key: string): Promise<number | null | undefined> {
    const { subject, tally } = this.#options
    const ask = { ...subject.increment, headers: { 'Idempotency-Key': key } }
    for (;;) {
      const answer = await this.#ask(prng, ask)
      if (answer.status === 200) return numberIn(subject, answer)
      if (endingOf(answer.status) === 'strange') {
        tally.violation(`a request with an Idempotency-Key was answered ${answer.status}`)
      }
      if (performance.now() > this.#patience) return undefined
      await sleep(RETRY_MS)
    }
  }

  async #read(prng: Prng): Promise<void> {
    const { subject, tally } = this.#options
    const begun = tally.beginRead()
    const answer = await this.#ask(prng, subject.count('?consistent'))
    if (answer.status === 200) tally.read(begun, numberIn(subject, answer))
    else if (endingOf(answer.status) === 'strange' && !this.#mayFail(answer)) {
      tally.violation(`a consistent read was answered ${answer.status}`)
    }
  }

  /** Of a disk that is gone nothing can be read, and a read says so. */
  #mayFail({ status }: Answer): boolean {
    return this.#options.disksFail && status === 500
  }

  async #ask(prng: Prng, ask: Ask): Promise<Answer> {
    const { tally, gateways } = this.#options
    const urls = gateways()
    const answer = await this.#way(urls[prng.between(0, urls.length)] ?? '').ask(ask)
    tally.statuses.set(answer.status, (tally.statuses.get(answer.status) ?? 0) + 1)
    return answer
  }

  /** Connections are not kept: a request that died with one must not be sent again. */
  #way(url: string): Client {
    const known = this.#ways.get(url)
    if (known !== undefined) return known
    const made = new Client(url, { keepAlive: false, timeoutMs: TIMEOUT_MS })
    this.#ways.set(url, made)
    return made
  }
}

function numberIn(subject: Subject, answer: Answer): number | null {
  return answer.status === 200 ? subject.number(answer) : null
}
