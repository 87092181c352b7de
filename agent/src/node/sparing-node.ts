import type { Cancel, Clock } from '../clock/clock.ts'
import type { Idempotency } from '../machine/state-machine.ts'
import type { MembershipChange } from '../raft/configuration.ts'
import type { LogIndex, NodeId } from '../raft/types.ts'
import type { NodeMeasures } from './measures.ts'
import type { NodeApi, NodeStatus } from './node-api.ts'
import type { ChangeOutcome, Outcome, ReadOutcome, TransferOutcome } from './outcome.ts'

/** Others may have room. Where nobody has, the lead goes round no faster than this, ms. */
const HAND_OVER_MS = 30_000
const LOOK_MS = 500

export interface Spared {
  readonly clock: Clock
  readonly room: { readonly isShort: boolean }
}

/**
 * A node as its clients have it: while its disk has little room and it leads, it takes no more of their writes, and asks the other voters,
 * one after the other, to lead instead. What the cluster does by itself, such as ending lifetimes, does not pass here.
 * Of a follower nobody can ask that: what the leader has committed it must take.
 */
export class SparingNode<Query, Answer> implements NodeApi<Query, Answer> {
  readonly #node: NodeApi<Query, Answer>
  readonly #around: Spared
  #askedAt = Number.NEGATIVE_INFINITY
  #asked = 0

  constructor(node: NodeApi<Query, Answer>, around: Spared) {
    this.#node = node
    this.#around = around
  }

  start(): Cancel {
    return this.#around.clock.every(LOOK_MS, () => void this.look())
  }

  /** Never rejects. */
  async look(): Promise<void> {
    const { clock, room } = this.#around
    if (!room.isShort || clock.now() < this.#askedAt + HAND_OVER_MS) return
    const { role, members, links } = this.#node.status()
    if (role !== 'leader') return
    const linked = new Set(links.filter(({ connected }) => connected).map(({ peer }) => peer))
    const others = members.filter(member => member.role === 'voter' && linked.has(member.id))
    const next = others[this.#asked % others.length]
    if (next === undefined) return
    this.#askedAt = clock.now()
    this.#asked += 1
    await this.#node.transfer(next.id)
  }

  propose(command: Uint8Array, idempotency: Idempotency | null = null): Promise<Outcome> {
    if (this.#around.room.isShort && this.#node.status().role === 'leader') {
      return Promise.resolve({ kind: 'no-room' })
    }
    return this.#node.propose(command, idempotency)
  }

  query(query: Query): Promise<Answer> {
    return this.#node.query(query)
  }

  linearizable(timeoutMs: number): Promise<ReadOutcome> {
    return this.#node.linearizable(timeoutMs)
  }

  waitApplied(index: LogIndex, timeoutMs: number): Promise<boolean> {
    return this.#node.waitApplied(index, timeoutMs)
  }

  change(change: MembershipChange): Promise<ChangeOutcome> {
    return this.#node.change(change)
  }

  transfer(to: NodeId | null): Promise<TransferOutcome> {
    return this.#node.transfer(to)
  }

  status(): NodeStatus {
    return this.#node.status()
  }

  measures(): NodeMeasures {
    return this.#node.measures()
  }
}
