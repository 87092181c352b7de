import { randomUUID } from 'node:crypto'
import type { Clock } from '../clock/clock.ts'
import type { EdgeState, EdgeView } from '../http/edge-view.ts'
import type { Logger } from '../node/logger.ts'
import { asWatermark, type Batch, cutDelta, FORMAT, type Sender } from './edge-batch.ts'
import type { Answer } from './edge-client.ts'
import { copyOf } from './edge-copy.ts'
import { SHUT } from './edge-open.ts'
import type { EdgeSource } from './edge-source.ts'
import { Waker } from './waker.ts'

export interface FillerOptions {
  readonly sender: Sender
  readonly source: EdgeSource
  /** Must settle: it gives up by itself, well after a worker of nginx would. */
  readonly post: (body: string) => Promise<Answer>
  readonly clock: Clock
  readonly logger: Logger
  /** Before the next copy of everything, when the last one did not fit, ms; default 30,000. */
  readonly fullRetryMs?: number
}

/** Between two heartbeats, ms: what nginx's memory says of its age is not finer than this. */
const HEARTBEAT_MS = 250
/** Changes that come closer together travel together. */
const GAP_MS = 5
const FULL_RETRY_MS = 30_000
/** So many heartbeats without an answer, and nginx counts as stuck. */
const MISSED_MAX = 3
/** Less of the memory free than this, and it is said. */
const FREE_SHARE_MIN = 0.2

/** What is known of nginx's memory. */
type Known =
  | { readonly kind: 'nothing' }
  /** it has to be copied anew */
  | { readonly kind: 'useless' }
  /** it is the store as of `index`, unless a batch up to `next` was begun */
  | { readonly kind: 'at'; readonly index: number; readonly next: number }

/**
 * Keeps the shared memory of this machine's nginx equal to the store: one batch after another, each taken only where
 * it follows on what is there. What nginx lost or missed is seen by its answer, and all of it is sent again.
 */
export class EdgeFiller {
  readonly #options: FillerOptions
  readonly #waker: Waker
  #known: Known = { kind: 'nothing' }
  /** for what was sent last: nothing beyond it was committed by then, Unix ms */
  #knownAt = 0
  /** version of the rules by which what is there may be shown; null: it may not */
  #version: number | null = null
  #state: EdgeState = 'starting'
  #counts = { batches: 0, copies: 0, free: 0, capacity: 0, missed: 0 }
  /** something is not as it was thought to be, and is looked into without a rest: once, until a batch is taken again */
  #surprised = false
  /** whether it was said that there is little room */
  #warned = false
  #stopped = false
  #running: Promise<void> | null = null

  constructor(options: FillerOptions) {
    this.#options = options
    this.#waker = new Waker(options.clock)
  }

  start(): void {
    const stopListening = this.#options.source.listen(() => this.#waker.wake())
    this.#running = this.#run().finally(stopListening)
  }

  /** Resolves once nothing is under way; what nginx holds grows old from then on. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#waker.wake()
    await this.#running
  }

  /** `stop`, and nginx holds nothing any more: it asks this agent, which refuses. For a store that is not to be relied on. */
  async forget(): Promise<void> {
    await this.stop()
    const last = this.#options.source.last()
    const emptied = await this.#send({ kind: 'reset', copy: randomUUID(), from: last, to: last })
    if (!emptied)
      this.#options.logger.error({}, 'edge reads: nginx may still hold what is known to be wrong')
  }

  status(): EdgeView {
    const index = this.#known.kind === 'at' ? this.#known.index : null
    const { only } = this.#options.sender
    return { state: this.#state, index, only, ...this.#counts }
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const pause = await this.#step()
      await this.#waker.pause(pause)
    }
  }

  /** @returns how long to wait for the next, unless something is to be sent */
  async #step(): Promise<{ readonly leastMs: number; readonly mostMs: number }> {
    if (!this.#options.source.serves()) {
      await this.#withhold()
      return { leastMs: HEARTBEAT_MS, mostMs: HEARTBEAT_MS }
    }
    switch (this.#known.kind) {
      case 'nothing':
        await this.#ask()
        break
      case 'useless':
        await this.#copy()
        break
      default:
        await this.#follow(this.#known)
    }
    return this.#restAfterStep()
  }

  #restAfterStep(): { readonly leastMs: number; readonly mostMs: number } {
    switch (this.#state) {
      case 'full': {
        const { fullRetryMs = FULL_RETRY_MS } = this.#options
        return { leastMs: fullRetryMs, mostMs: fullRetryMs }
      }
      case 'unreachable':
      case 'stuck':
        return this.#restInTrouble()
      default: {
        const known = this.#known
        const behind = known.kind === 'at' && known.index < this.#options.source.last()
        const idle = known.kind === 'at' && !behind
        return { leastMs: GAP_MS, mostMs: idle ? HEARTBEAT_MS : 2 * GAP_MS }
      }
    }
  }

  /**
   * A reload of nginx closes the connection that batches came on: the next try succeeds, and readers are not to wait a
   * heartbeat for it. Nor are they where the memory was found to be another's.
   */
  #restInTrouble(): { readonly leastMs: number; readonly mostMs: number } {
    const restMs = this.#surprised ? HEARTBEAT_MS : GAP_MS
    this.#surprised = true
    return { leastMs: restMs, mostMs: restMs }
  }

  /** Whoever reads from nginx has to be as safe from what this node has as who asks the node itself. */
  async #withhold(): Promise<void> {
    if (this.#state === 'withheld') return
    const last = this.#options.source.last()
    const emptied = await this.#send({ kind: 'reset', from: last, to: last })
    this.#known = { kind: 'useless' }
    if (emptied) this.#become('withheld', 'this node is quarantined')
  }

  /** A heartbeat that fits, or an answer that tells what is there. */
  async #ask(): Promise<void> {
    const last = this.#options.source.last()
    const { open } = this.#options.source.open()
    await this.#send({ kind: 'delta', from: last, to: last, knownAt: this.#fresh(), open })
  }

  async #follow({ index, next }: Extract<Known, { kind: 'at' }>): Promise<void> {
    const { source, sender } = this.#options
    const last = source.last()
    // This agent was restarted, and has not come as far again.
    if (last < next) return
    const entries = source.read(index)
    if (entries === null) {
      this.#known = { kind: 'useless' }
      return
    }
    const { to, parts } = cutDelta(entries, sender.only, { last, atLeast: next })
    if (to === last) this.#knownAt = this.#fresh()
    const knownAt = this.#knownAt
    const now = source.open()
    // What may be shown from a later entry on may not be shown of an earlier state.
    const fits = to === last || now.version === this.#version
    const open = fits ? now.open : SHUT
    for (const [at, ops] of parts.entries()) {
      const more = at < parts.length - 1
      if (!(await this.#send({ kind: 'delta', from: index, to, knownAt, open, ops, more }))) return
    }
    this.#version = fits ? now.version : null
  }

  async #copy(): Promise<void> {
    const { source, sender } = this.#options
    const how = { id: randomUUID(), fresh: () => this.#fresh() }
    try {
      for await (const part of copyOf(source, sender.only, how)) {
        if (this.#stopped || !(await this.#send(part))) return
      }
    } catch (error) {
      // It came to be not relied on meanwhile: the next step sees to that.
      if (source.serves()) throw error
    }
  }

  /** When nothing beyond `source.last()` was committed; 0: no one knows. */
  #fresh(): number {
    const stalenessMs = this.#options.source.stalenessMs()
    return stalenessMs === null ? 0 : Math.floor(this.#options.clock.wallMs() - stalenessMs)
  }

  /** @returns whether it was taken */
  async #send(given: Partial<Batch> & Pick<Batch, 'kind' | 'from' | 'to'>): Promise<boolean> {
    const unsaid = { copy: '', part: 0, more: false, knownAt: 0, open: SHUT, ops: [] }
    const batch: Batch = { format: FORMAT, ...this.#options.sender, ...unsaid, ...given }
    const answer = await this.#options.post(JSON.stringify(batch))
    if (answer.kind !== 'answer') {
      this.#missed(answer)
      return false
    }
    this.#counts.missed = 0
    return this.#answered(batch, answer)
  }

  #missed(answer: Exclude<Answer, { kind: 'answer' }>): void {
    this.#known = { kind: 'nothing' }
    this.#counts.missed += 1
    const stuck = answer.kind === 'timeout' && this.#counts.missed >= MISSED_MAX
    const why = answer.kind === 'timeout' ? 'no answer' : answer.why
    this.#become(stuck ? 'stuck' : 'unreachable', why)
  }

  #answered(batch: Batch, { status, body }: Extract<Answer, { kind: 'answer' }>): boolean {
    if (status === 200) {
      this.#taken(batch, body)
      return true
    }
    if (status === 409 && batch.kind === 'reset') {
      this.#known = { kind: 'useless' }
      this.#become('unreachable', 'this nginx has scripts of another version: reload it')
    } else if (status === 409) {
      this.#known = this.#judge(body)
      if (this.#known.kind === 'at') this.#surprised = false
    } else if (status === 507) {
      this.#known = { kind: 'useless' }
      this.#become('full', body)
    } else {
      this.#known = { kind: 'nothing' }
      this.#become('unreachable', `status ${status}: ${body}`)
    }
    return false
  }

  #taken({ kind, from, to, more }: Batch, body: string): void {
    this.#counts.batches += 1
    this.#room(JSON.parse(body) as { free: number; capacity: number })
    if (kind === 'reset') {
      this.#counts.copies += 1
      this.#become('copying', '')
    }
    if (kind !== 'delta' && kind !== 'last') return
    this.#known = { kind: 'at', index: more ? from : to, next: to }
    this.#surprised = false
    this.#become('following', '')
  }

  #room({ free, capacity }: { readonly free: number; readonly capacity: number }): void {
    this.#counts.free = free
    this.#counts.capacity = capacity
    const little = free < capacity * FREE_SHARE_MIN
    if (little && !this.#warned) {
      this.#options.logger.warn({ free, capacity }, 'edge reads: nginx’s memory is nearly full')
    }
    this.#warned = little
  }

  #judge(body: string): Known {
    const mark = asWatermark(body)
    const { sender, source } = this.#options
    if (mark?.epoch !== sender.epoch || !mark.whole || mark.index < source.since()) {
      return { kind: 'useless' }
    }
    return { kind: 'at', index: mark.index, next: mark.next }
  }

  #become(state: EdgeState, why: string): void {
    if (state === this.#state) return
    this.#state = state
    const { logger } = this.#options
    const fields = { state, why, ...this.#counts }
    const works = state === 'following' || state === 'copying'
    logger[works ? 'info' : 'warn'](fields, 'edge reads')
  }
}
