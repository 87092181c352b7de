/** What all clients of a run have in common: gateways to choose from, a pace, and one place for what they saw. */

import { setTimeout as sleep } from 'node:timers/promises'
import { Chance } from '../../../agent/test/simulation/chance.ts'
import { call, type Reply, type Request } from './caller.ts'
import type { Ledger } from './record.ts'

/** After a refusal or no answer. */
const RETRY_MS = 50

export interface Scene {
  readonly seed: number
  readonly ledger: Ledger
  /** those that clients know at the moment */
  readonly gateways: () => readonly string[]
  /** once true, clients begin nothing more */
  readonly isOver: () => boolean
  /** Whether a disk has failed since then: a read may be answered 500. */
  readonly disksFailed: (since: number) => boolean
}

export class Actor {
  readonly scene: Scene
  readonly chance: Chance
  readonly name: string
  readonly #pauseMs: number
  #drawn = 0

  constructor(scene: Scene, name: string, pauseMs: number) {
    this.scene = scene
    this.name = name
    this.chance = new Chance(scene.seed, name)
    this.#pauseMs = pauseMs
  }

  get ledger(): Ledger {
    return this.scene.ledger
  }

  /** One that nobody else ever draws. */
  unique(): string {
    this.#drawn += 1
    return `${this.name}-${this.#drawn}`
  }

  /** Through any gateway, once. */
  async write(request: Request): Promise<Reply> {
    return this.#ask(request, true)
  }

  async read(path: string): Promise<Reply> {
    return this.#ask({ path }, false)
  }

  /** A transaction that only reads too. */
  async ask(request: Request): Promise<Reply> {
    return this.#ask(request, false)
  }

  /**
   * With an Idempotency-Key, through any gateway, until it is answered for sure; what was refused begins anew.
   * @returns null when it is not answered in its time after the run was over; its `called` is that of the first try
   */
  async once(request: Request, patienceMs: number): Promise<Reply | null> {
    const headers = { ...request.headers, 'Idempotency-Key': `${this.scene.seed}-${this.unique()}` }
    const called = performance.now()
    let deadline = Number.POSITIVE_INFINITY
    for (;;) {
      const reply = await this.#ask({ ...request, headers }, true)
      if (reply.conclusion === 'sure') return { ...reply, called }
      if (performance.now() > deadline) return null
      if (this.scene.isOver()) deadline = Math.min(deadline, performance.now() + patienceMs)
      await sleep(RETRY_MS)
    }
  }

  /** Until the run is over. */
  async repeat(act: () => Promise<unknown>): Promise<void> {
    while (!this.scene.isOver()) {
      await act()
      await this.pause(this.#pauseMs)
    }
  }

  /** Half to one and a half times so long. */
  async pause(ms: number): Promise<void> {
    await sleep(ms * (0.5 + this.chance.share()))
  }

  async #ask(request: Request, writes: boolean): Promise<Reply> {
    const urls = this.scene.gateways()
    const reply = await call(this.chance.oneOf(urls), request)
    const what = `${request.method ?? 'GET'} ${request.path}`
    this.ledger.answered(what, reply, writes)
    const { status, conclusion, body, called } = reply
    const excused = status === 500 && this.scene.disksFailed(called)
    if (conclusion === 'strange' && !excused) {
      this.ledger.violation(`${what} was answered ${status}: ${body.slice(0, 200)}`)
    }
    if (conclusion !== 'sure') await this.pause(RETRY_MS)
    return reply
  }
}

/** A row as `/v1/kv` has it. */
export interface Row {
  readonly Key: string
  readonly Value: string | null
  readonly ModifyIndex: number
  readonly Session?: string
}

/** None where there is nothing. @throws SyntaxError */
export function rowsOf({ status, body }: Reply): readonly Row[] {
  return status === 404 || body === '' ? [] : (JSON.parse(body) as readonly Row[])
}

export function textIn({ Value }: Row): string {
  return Buffer.from(Value ?? '', 'base64').toString()
}
