import { type Configuration, NO_CONFIGURATION, votersOf } from '../raft/configuration.ts'
import type { Message } from '../raft/message.ts'
import { majority } from '../raft/quorum.ts'
import type { LogIndex, NodeId } from '../raft/types.ts'

/**
 * How old this node's knowledge can be, and whether it has caught up. Times are the clock's
 * monotonic milliseconds at arrival: what spent long on its way looks younger than it is.
 */
export class Freshness {
  readonly #own: NodeId
  #configuration: Configuration = NO_CONFIGURATION
  /** when each peer was last heard, while this node leads */
  readonly #heard = new Map<NodeId, number>()
  /** highest commit index that a leader has told */
  #known = 0
  /** what was committed when the present leader was first heard; null before */
  #target: number | null = null
  /** when all that was known to be committed had been applied */
  #freshAt: number | null = null
  /** a message of the leader whose commit index is not applied yet */
  #awaiting: { at: number; commit: number } | null = null

  constructor(own: NodeId) {
    this.#own = own
  }

  /** Who is needed to lead. */
  setConfiguration(configuration: Configuration): void {
    this.#configuration = configuration
  }

  /** Another leader, or none: what was committed has to be learnt anew. */
  leaderChanged(own: { readonly leads: boolean; readonly last: LogIndex }): void {
    this.#target = own.leads ? own.last : null
    this.#heard.clear()
  }

  received(message: Message, applied: LogIndex, now: number): void {
    this.#heard.set(message.from, now)
    if (message.kind !== 'append-entries' && message.kind !== 'heartbeat') return
    if (message.commit > this.#known) this.#known = message.commit
    // Only an append tells the leader's whole commit index; a heartbeat's is cut to what we match.
    if (message.kind === 'append-entries') this.#target ??= message.commit
    this.#awaiting = { at: now, commit: this.#known }
    this.applied(applied)
  }

  applied(index: LogIndex): void {
    if (this.#awaiting !== null && index >= this.#awaiting.commit) {
      this.#freshAt = this.#awaiting.at
      this.#awaiting = null
    }
  }

  /** Has applied all that was committed when the present leader was first heard. */
  caughtUp(applied: LogIndex): boolean {
    return this.#target !== null && applied >= this.#target
  }

  stalenessMs(leads: boolean, now: number): number | null {
    const at = leads ? this.#quorumHeardAt(now) : this.#freshAt
    return at === null ? null : Math.max(0, Math.round(now - at))
  }

  /** When this leader was last sure to lead: a majority of each half was heard no longer ago (§6). */
  #quorumHeardAt(now: number): number | null {
    const { outgoing } = this.#configuration
    const incoming = this.#majorityHeardAt(votersOf(this.#configuration), now)
    if (outgoing.length === 0 || incoming === null) return incoming
    const before = this.#majorityHeardAt(outgoing, now)
    return before === null ? null : Math.min(incoming, before)
  }

  #majorityHeardAt(voters: readonly NodeId[], now: number): number | null {
    const times = voters.flatMap(id => (id === this.#own ? now : (this.#heard.get(id) ?? [])))
    return times.sort((a, b) => b - a)[majority(voters.length) - 1] ?? null
  }
}
