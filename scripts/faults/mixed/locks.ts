/** Locks by sessions: whoever holds one writes what it guards, under the token of its acquisition. */

import { indexOf, type Reply } from './caller.ts'
import { Actor, type Scene } from './clients.ts'

const LOCKS: readonly string[] = ['lock/a', 'lock/b']
const CLIENTS = 4
const PAUSE_MS = 150
const TTL_MS = 10_000
const TRIES = 30
const WRITES_MAX = 6

/** All times are of one monotonic clock, ms. */
export interface Acquisition {
  readonly lock: string
  readonly session: string
  /** ModifyIndex of the lock: it fences off earlier holders */
  readonly token: number
  readonly called: number
  readonly returned: number
}

/** What was written by a transaction that checked the lock; `index` is its entry's. */
export interface Guarded {
  readonly lock: string
  readonly session: string
  readonly token: number
  readonly index: number
}

/** @returns what is wrong: two holders at once, a token that does not grow, a write from under somebody else's hold */
export function judgeLocks(
  acquisitions: readonly Acquisition[],
  writes: readonly Guarded[],
): string[] {
  const wrong: string[] = []
  for (const lock of new Set(acquisitions.map(each => each.lock))) {
    const held = acquisitions.filter(each => each.lock === lock).sort((a, b) => a.token - b.token)
    let latest = 0
    for (const [at, each] of held.entries()) {
      const before = held[at - 1]
      if (before?.token === each.token) wrong.push(`${lock} was acquired twice at ${each.token}`)
      // In the order of tokens nobody may begin after a later one was told of.
      latest = Math.max(latest, each.called)
      const next = held[at + 1]
      if (next !== undefined && next.returned < latest) {
        wrong.push(`${lock}: token ${next.token} was told before a lower one was asked for`)
      }
    }
    for (const { session, token, index } of writes.filter(each => each.lock === lock)) {
      const other = held.find(
        each => each.session !== session && each.token > token && each.token < index,
      )
      if (other === undefined) continue
      wrong.push(`${lock}: written at ${index} under ${token}, and ${other.token} was another's`)
    }
  }
  return wrong
}

interface Wish {
  readonly lock: string
  readonly session: string
  /** when the session was asked for */
  readonly begun: number
}

export class Locks {
  readonly #scene: Scene
  readonly #acquisitions: Acquisition[] = []
  readonly #writes: Guarded[] = []

  constructor(scene: Scene) {
    this.#scene = scene
  }

  start(): Promise<void>[] {
    return Array.from({ length: CLIENTS }, (_, at) => {
      const actor = new Actor(this.#scene, `holder${at}`, PAUSE_MS)
      return actor.repeat(() => this.#live(actor))
    })
  }

  check(): void {
    const wrong = judgeLocks(this.#acquisitions, this.#writes)
    for (const text of wrong) this.#scene.ledger.violation(text)
  }

  get held(): number {
    return this.#acquisitions.length
  }

  /** One session, from its beginning to its end. */
  async #live(actor: Actor): Promise<void> {
    const body = JSON.stringify({ TTL: `${TTL_MS / 1000}s`, LockDelay: '0s' })
    const begun = performance.now()
    const made = await actor.write({ method: 'PUT', path: '/v1/session/create', body })
    if (made.conclusion !== 'sure' || made.status !== 200) return
    const { ID: session } = JSON.parse(made.body) as { readonly ID: string }
    const lock = actor.chance.oneOf(LOCKS)
    const hold = await this.#acquire(actor, { lock, session, begun })
    if (hold !== null) await this.#use(actor, hold, begun)
    // Some vanish without a word.
    if (actor.chance.happens(0.2)) return
    if (hold !== null && actor.chance.happens(0.5)) {
      await actor.write({ method: 'PUT', path: `/v1/kv/${lock}?release=${session}` })
    }
    await actor.write({ method: 'PUT', path: `/v1/session/destroy/${session}` })
  }

  async #acquire(actor: Actor, { lock, session, begun }: Wish): Promise<Acquisition | null> {
    for (let tries = 0; tries < TRIES && !this.#scene.isOver(); tries++) {
      const path = `/v1/kv/${lock}?acquire=${session}`
      const reply = await actor.write({ method: 'PUT', path, body: session })
      if (reply.conclusion === 'unknown') return null
      // Its session has ended: nobody renews it.
      if (reply.status === 400) {
        this.#notTooSoon(session, lock, reply.returned - begun)
        return null
      }
      if (reply.status === 200 && reply.body.trim() === 'true') {
        const { called, returned } = reply
        const hold = { lock, session, token: tokenOf(reply), called, returned }
        this.#acquisitions.push(hold)
        return hold
      }
      await actor.pause(PAUSE_MS)
    }
    return null
  }

  /** Some outlive their session, and write all the same: that has to be refused once somebody else has the lock. */
  async #use(actor: Actor, hold: Acquisition, begun: number): Promise<void> {
    const { lock, session, token } = hold
    const dawdles = actor.chance.happens(0.1)
    for (let count = actor.chance.within(1, WRITES_MAX); count > 0; count--) {
      if (this.#scene.isOver()) return
      await actor.pause(dawdles ? TTL_MS : PAUSE_MS)
      const Value = Buffer.from(actor.unique()).toString('base64')
      const body = JSON.stringify([
        { KV: { Verb: 'check-session', Key: lock, Session: session } },
        { KV: { Verb: 'set', Key: `guarded/${lock}`, Value } },
      ])
      const reply = await actor.write({ method: 'PUT', path: '/v1/txn', body })
      if (reply.conclusion !== 'sure') continue
      const index = indexOf(reply)
      if (reply.status === 200 && index !== null) {
        this.#writes.push({ lock, session, token, index })
        continue
      }
      this.#notTooSoon(session, lock, reply.returned - begun)
      return
    }
  }

  /** It lasts its whole time, counted from when it was asked for. */
  #notTooSoon(session: string, lock: string, ms: number): void {
    if (ms >= TTL_MS) return
    this.#scene.ledger.violation(`${session}, for ${lock}, ended after ${Math.round(ms)} ms`)
  }

  /** @param rows what a node shows of the locks in the end */
  checkTokens(
    node: string,
    rows: readonly { readonly Key: string; readonly ModifyIndex: number }[],
  ) {
    for (const lock of LOCKS) {
      const highest = Math.max(
        0,
        ...this.#acquisitions.filter(each => each.lock === lock).map(each => each.token),
      )
      const shown = rows.find(row => row.Key === lock)?.ModifyIndex ?? 0
      if (shown < highest) {
        this.#scene.ledger.violation(`${node} has ${lock} at ${shown}, and ${highest} was acquired`)
      }
    }
  }
}

function tokenOf(reply: Reply): number {
  const { etag = '' } = reply.headers
  return Number(etag.replaceAll('"', '')) || (indexOf(reply) ?? 0)
}
