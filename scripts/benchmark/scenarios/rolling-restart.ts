import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Member } from '../cluster.ts'
import { askedAt } from './attempts.ts'

const CLIENTS = 8
const PATIENCE_MS = 2_000
/** So long a client waits after a failed try before it asks the next member, ms. */
const AGAIN_MS = 10
/** So long everything runs undisturbed before and between, ms. */
const CALM_MS = 500
const VALUE = 'x'.repeat(100)

export interface Rolling {
  /** longest time in which nobody wrote anything, ms */
  readonly gapMs: number
  /** tries that were not answered 200 */
  readonly failed: number
  readonly written: number
  /** from the first SIGTERM until all take part again, ms */
  readonly tookMs: number
}

/** Restarts each member, the next as soon as all take part again, while clients write to whoever takes it. */
export async function measureRolling(cluster: Cluster): Promise<Rolling> {
  const writers = new Writers(cluster.members())
  await sleep(CALM_MS)
  const beganMs = performance.now()
  let tookMs = 0
  try {
    for (const member of cluster.members()) {
      await member.end('SIGTERM')
      member.startAgain()
      await cluster.ready()
      tookMs = performance.now() - beganMs
      await sleep(CALM_MS)
    }
  } finally {
    await writers.stop()
  }
  const { gapMs, failed, written } = writers
  return { gapMs, failed, written, tookMs }
}

/** Each writes one value after the other, at the next member once one has failed it. */
class Writers {
  readonly #members: readonly Member[]
  readonly #ended = new AbortController()
  readonly #clients: readonly Promise<void>[]
  #lastMs = performance.now()
  gapMs = 0
  failed = 0
  written = 0

  constructor(members: readonly Member[]) {
    this.#members = members
    this.#clients = Array.from({ length: CLIENTS }, (_, first) => this.#write(first))
  }

  async stop(): Promise<void> {
    this.#ended.abort()
    await Promise.all(this.#clients)
    this.#closeGap(performance.now())
  }

  async #write(first: number): Promise<void> {
    const ended = this.#ended.signal
    for (let at = first; !ended.aborted; ) {
      const member = this.#members[at % this.#members.length]
      if (member === undefined) return
      const signal = AbortSignal.any([ended, AbortSignal.timeout(PATIENCE_MS)])
      const whenMs = await askedAt(member.write(VALUE), signal)
      if (whenMs !== null) {
        this.written += 1
        this.#closeGap(whenMs)
      } else if (!ended.aborted) {
        this.failed += 1
        at += 1
        await sleep(AGAIN_MS)
      }
    }
  }

  #closeGap(nowMs: number): void {
    this.gapMs = Math.max(this.gapMs, nowMs - this.#lastMs)
    this.#lastMs = Math.max(this.#lastMs, nowMs)
  }
}
