import type { Message } from '../raft/message.ts'
import type { LogIndex } from '../raft/types.ts'

/**
 * How old this node's knowledge can be, and whether it has caught up.
 *
 * The age is proven, and by this node's own monotonic clock alone: again and again it begins a
 * linearizable read (thesis §6.4), and once that may be answered, the machine shows everything that
 * was committed when it began. So the age counts from the beginning of the last one that succeeded:
 * a message that lay unread for seconds, in a socket or in a process that stood still, makes nothing
 * look young, and neither does a leader that leads no longer.
 */
export class Freshness {
  /** how often a proof is tried, ms */
  readonly #everyMs: number
  /** what was committed when the present leader was first heard; null before */
  #target: number | null = null
  /** when the last proof that succeeded began, monotonic ms */
  #provenAt: number | null = null
  /** when the last one began */
  #triedAt = Number.NEGATIVE_INFINITY
  #trying = false

  constructor(everyMs: number) {
    this.#everyMs = everyMs
  }

  /** Another leader, or none: what was committed has to be learnt anew. */
  leaderChanged(own: { readonly leads: boolean; readonly last: LogIndex }): void {
    this.#target = own.leads ? own.last : null
  }

  received(message: Message): void {
    // Only an append tells the leader's whole commit index; a heartbeat's is cut to what we match.
    if (message.kind === 'append-entries') this.#target ??= message.commit
  }

  /** Has applied all that was committed when the present leader was first heard. */
  caughtUp(applied: LogIndex): boolean {
    return this.#target !== null && applied >= this.#target
  }

  /** Begins a proof with `read`, a linearizable read that settles once it may be answered, if one is due. */
  prove(now: number, read: () => Promise<{ readonly kind: 'ready' | 'no-leader' }>): void {
    if (this.#trying || now - this.#triedAt < this.#everyMs) return
    this.#trying = true
    this.#triedAt = now
    void read().then(({ kind }) => {
      this.#trying = false
      if (kind === 'ready') this.#provenAt = now
    })
  }

  /** null before the first proof */
  stalenessMs(now: number): number | null {
    return this.#provenAt === null ? null : Math.max(0, Math.round(now - this.#provenAt))
  }
}
