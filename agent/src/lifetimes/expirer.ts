import type { Cancel, Clock } from '../clock/clock.ts'
import type { ChangeFeed } from '../machine/kv/change-feed.ts'
import { encodeCommand } from '../machine/kv/command.ts'
import type { Expiry } from '../machine/kv/expiry.ts'
import type { KvAnswer, KvQuery } from '../machine/kv/query.ts'
import type { Logger } from '../node/logger.ts'
import type { NodeApi } from '../node/node-api.ts'
import { Deadlines } from './deadlines.ts'

export interface ExpirerOptions {
  readonly node: Pick<NodeApi<KvQuery, KvAnswer>, 'status' | 'query' | 'propose'>
  readonly feed: ChangeFeed
  readonly clock: Clock
  readonly logger: Logger
}

/** How often the leader looks, ms: an end comes late by as much. */
const TICK_MS = 250
/** A tick that comes later than this counts as so long only: what waited unread meanwhile may be renewals. */
const STEP_MS_MAX = 2 * TICK_MS
/** Ends in one entry of the log. */
const BATCH = 512

/**
 * Ends what has outlived its lifetime: sessions, keys with a time to live, delays of locks. Only a
 * leader does, by its own monotonic time since it saw the lifetime begin or renewed, and at the
 * earliest a whole lifetime after it began to lead: no clock is compared with another one, and
 * none that jumps is asked. What it decides goes through the log, with the index that it saw: a
 * renewal that was faster wins, and a leader that leads no longer decides nothing.
 */
export class Expirer {
  readonly #options: ExpirerOptions
  readonly #deadlines = new Deadlines()
  #cancel: Cancel | null = null
  /** in which this node leads; null: it does not, or has not looked yet */
  #term: number | null = null
  /** how far the feed was followed */
  #followed = 0
  /** monotonic time of the last tick */
  #tickedAt = 0
  /** the time that counts: it stands still while this process does */
  #now = 0
  #busy = false

  constructor(options: ExpirerOptions) {
    this.#options = options
  }

  start(): void {
    this.#tickedAt = this.#options.clock.now()
    this.#cancel = this.#options.clock.every(TICK_MS, () => void this.#tick())
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  async #tick(): Promise<void> {
    const { node, clock, logger } = this.#options
    const at = clock.now()
    this.#now += Math.min(at - this.#tickedAt, STEP_MS_MAX)
    this.#tickedAt = at
    if (this.#busy) return
    this.#busy = true
    try {
      const { role, term } = node.status()
      if (role === 'leader') await this.#asLeader(term)
      else this.#term = null
    } catch (error) {
      // The node stops with its machine, and says so itself.
      logger.warn({ err: error }, 'lifetimes are not looked after')
    } finally {
      this.#busy = false
    }
  }

  async #asLeader(term: number): Promise<void> {
    if (this.#term !== term) {
      this.#deadlines.clear()
      this.#term = term
      await this.#readAll()
    } else if (!this.#follow()) await this.#readAll()
    const due = this.#deadlines.due(this.#now, BATCH)
    if (due.length > 0 && this.#cancel !== null) await this.#end(due)
  }

  /** @returns false when some of what follows is no longer in the feed */
  #follow(): boolean {
    const { feed } = this.#options
    const lifetimes = feed.readLifetimes(this.#followed)
    if (lifetimes === null) return false
    for (const lifetime of lifetimes) this.#deadlines.begin(lifetime, this.#now)
    this.#followed = feed.last
    return true
  }

  async #readAll(): Promise<void> {
    const { node } = this.#options
    const answer = await node.query({ kind: 'lifetimes' })
    if (answer.kind !== 'lifetimes') return
    this.#deadlines.replace(answer.lifetimes, this.#now)
    this.#followed = answer.applied.index
  }

  async #end(expiries: readonly Expiry[]): Promise<void> {
    const command = encodeCommand({ kind: 'expire', expiries })
    const outcome = await this.#options.node.propose(command)
    // Of any other outcome nothing is known for certain: they are still due at the next tick.
    if (outcome.kind === 'applied') this.#deadlines.forget(expiries)
  }
}
