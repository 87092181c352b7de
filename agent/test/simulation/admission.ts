import { type Configuration, memberOf, NO_CONFIGURATION } from '../../src/raft/configuration.ts'
import type { Input } from '../../src/raft/input.ts'
import type { Raft } from '../../src/raft/raft.ts'
import type { LogIndex, NodeId } from '../../src/raft/types.ts'

/** Who a node is: for as long as it has the same disk. */
interface Self {
  readonly id: NodeId
  readonly incarnation: string
  /** was there before the log said who is who */
  readonly founder: boolean
  /** whom it has met, by name: their incarnations */
  readonly met: ReadonlyMap<NodeId, string>
}

/**
 * Whom a node exchanges messages with, as the transport decides it: the members, each as whom the
 * log says it is, or as whom it was first met; others only while the own list may be out of date.
 */
export class SimulatedAdmission {
  readonly #self: Self
  /** incarnations, on disk */
  readonly #met: Map<NodeId, string>
  /** members that left since the list was last current: they may come back as somebody else */
  readonly #left = new Set<NodeId>()
  /** of members, whatever the log says of them */
  readonly #seen = new Map<NodeId, string>()
  #configuration: Configuration = NO_CONFIGURATION
  /** what was applied here is what the leader's cluster has */
  #isCurrent = false
  #follows = true
  #leader: NodeId | null = null
  /** what was committed when the present leader was first heard; null before */
  #target: LogIndex | null = null

  constructor(self: Self) {
    this.#self = self
    this.#met = new Map(self.met)
  }

  /**
   * Null: it is let in; `wiped`: it was known on another disk.
   * @param lives false for what an earlier disk had sent: it can introduce itself no more
   * @param leads whether it is about what a leader says, if only in the step in which it gives up
   */
  objection(
    peer: NodeId,
    incarnation: string,
    lives: boolean,
    leads: boolean,
  ): 'stranger' | 'wiped' | null {
    const member = this.#memberOf(peer)
    if (member === null) return this.#isCurrent && this.#isNamed() ? 'stranger' : null
    const known = member.incarnation === '' ? this.#met.get(peer) : member.incarnation
    if (known === undefined ? !lives : known !== incarnation) {
      // Since this list, the cluster may have named another disk, and that may lead: a follower may listen,
      // for votes say whom they mean. The transport does not: there a lagging node waits for another leader.
      const listens = this.#follows && !leads && !this.#isCurrent
      const isGuest = lives && member.incarnation !== '' && listens
      return isGuest ? null : 'wiped'
    }
    this.#met.set(peer, incarnation)
    this.#seen.set(peer, incarnation)
    return null
  }

  /** After a start. */
  started({ state }: Raft): void {
    this.#configuration = state.configuration
    this.#isCurrent = false
    this.#follows = true
    this.#leader = null
    this.#target = null
    this.#seen.clear()
  }

  /** After every step: a new configuration may be in force, or the one that is may have become current. */
  stepped(input: Input, raft: Raft): void {
    const { configuration } = raft.state
    const wasCurrent = this.#isCurrent
    this.#follow(input, raft)
    if (configuration !== this.#configuration) this.take(configuration)
    else if (wasCurrent === this.#isCurrent) return
    if (this.#isCurrent && this.#isNamed()) this.#forgetOthers()
  }

  /** A member of which the log does not say what this node knows; null: there is none. */
  introduction(): { readonly id: NodeId; readonly incarnation: string } | null {
    const { id: own, incarnation: ownIncarnation } = this.#self
    for (const { id, incarnation } of this.#configuration.members) {
      const seen = id === own ? ownIncarnation : this.#seen.get(id)
      if (incarnation === '' && seen !== undefined) return { id, incarnation: seen }
    }
    return null
  }

  /** Only an append tells the leader's whole commit index. */
  #follow(input: Input, { state, last }: Raft): void {
    const { leader, role, applied } = state
    if (leader !== this.#leader) this.#target = role.kind === 'leader' ? last.index : null
    this.#leader = leader
    this.#follows = role.kind === 'follower'
    const append = input.kind === 'receive' && input.message.kind === 'append-entries'
    if (append) this.#target ??= input.message.commit
    this.#isCurrent = leader !== null && this.#target !== null && applied >= this.#target
  }

  /** The next configuration; the transport hears of the last of several only. */
  take(configuration: Configuration): void {
    for (const { id } of this.#configuration.members) {
      if (memberOf(configuration, id) === null) this.#left.add(id)
    }
    for (const id of this.#left) this.#seen.delete(id)
    this.#configuration = configuration
  }

  #forgetOthers(): void {
    for (const id of this.#met.keys()) {
      if (this.#left.has(id) || memberOf(this.#configuration, id) === null) this.#met.delete(id)
    }
    this.#left.clear()
  }

  #memberOf(peer: NodeId) {
    return this.#isNamed() ? memberOf(this.#configuration, peer) : null
  }

  /** A list that does not name this very node does not say who is who by now. */
  #isNamed(): boolean {
    const { id, incarnation, founder } = this.#self
    const own = memberOf(this.#configuration, id)?.incarnation ?? null
    return own === '' ? founder : own === incarnation
  }
}
