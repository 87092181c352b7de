import type { Idempotency } from '../machine/state-machine.ts'
import type { MemberRole, MembershipChange } from '../raft/configuration.ts'
import type { LogIndex, NodeId, Term } from '../raft/types.ts'
import type { Verdict } from './divergence.ts'
import type { NodeMeasures } from './measures.ts'
import type { ChangeOutcome, Outcome, ReadOutcome, TransferOutcome } from './outcome.ts'

export type { MembershipChange }

/** A node's snapshots, at one moment. */
export interface SnapshotsStatus {
  /** Position of the newest that is stored here; null: none is. */
  readonly stored: LogIndex | null
  /** Lowest position that is on its way to another node; null: none is. */
  readonly sending: LogIndex | null
  /** One is replacing log and state machine. */
  readonly installing: boolean
}

/** How a member is reached; addresses are `host:port`. */
export interface MemberAddress {
  readonly id: NodeId
  /** HTTP of its agent. */
  readonly address: string
  /** Raft's own port of its agent. */
  readonly raftBind: string
  /** Base URL of its nginx, as clients see it; null when none was configured. */
  readonly gateway: string | null
}

/** A member as this node's configuration in force has it. Its address is empty until the leader has met it. */
export interface MemberStatus extends MemberAddress {
  readonly role: MemberRole
  /** Whether the cluster has recorded whose data directory it has: no learner votes before. */
  readonly identified: boolean
}

/** How this node's machine compared with the others' at the newest check. */
export interface CheckStatus {
  readonly index: LogIndex
  readonly verdict: Verdict['kind']
}

/** What a node knows of itself and of its cluster, at one moment. */
export interface NodeStatus {
  readonly id: NodeId
  /** HTTP of its agent, as others reach it: `host:port` */
  readonly address: string
  readonly role: 'follower' | 'candidate' | 'leader'
  readonly term: Term
  readonly leader: NodeId | null
  readonly commitIndex: LogIndex
  readonly appliedIndex: LogIndex
  readonly lastIndex: LogIndex
  /** Of the log: what goes before it was dropped. Above `lastIndex` when the log is empty. */
  readonly firstIndex: LogIndex
  readonly snapshots: SnapshotsStatus
  readonly members: readonly MemberStatus[]
  /** Has applied all that was committed when it started or last lost touch, and knows a leader. */
  readonly ready: boolean
  /** Why not, in words; empty when ready. */
  readonly notReady: string
  /** How old this node's knowledge of the cluster can be, ms; null before the first contact. */
  readonly stalenessMs: number | null
  readonly uptimeMs: number
  /** Hash over all that this node's machine has applied up to `index`, hexadecimal: equal on every node there. */
  readonly chain: { readonly index: LogIndex; readonly hash: string }
  /** Why nothing is read from this node's machine, in words; null: it is trusted. */
  readonly quarantine: string | null
  /** How this node's machine compared with the others' at the newest check; null: none since the start. */
  readonly check: CheckStatus | null
  /** Links to the other members, for operators. */
  readonly links: readonly {
    readonly peer: NodeId
    readonly connected: boolean
    readonly lastError: string | null
    /** the other side said so: it does not take part with this node */
    readonly refused: boolean
    /** because it knows another data directory by this node's name */
    readonly stranger: boolean
  }[]
}

/** What the floors above may ask of a node. */
export interface NodeApi<Query, Answer> {
  /**
   * Settles with exactly one outcome, `unknown` at the commit deadline at the latest. Never rejects.
   * With `idempotency` it takes effect at most once, and every repetition gets the first answer.
   */
  propose(command: Uint8Array, idempotency?: Idempotency | null): Promise<Outcome>
  /** Reads this node's own machine, now: a committed prefix. */
  query(query: Query): Promise<Answer>
  /**
   * Waits until this node may answer a linearizable read (thesis §6.4): `query` then shows every
   * write that was answered anywhere before this call. `no-leader` within `timeoutMs` otherwise.
   */
  linearizable(timeoutMs: number): Promise<ReadOutcome>
  /** True once this node has applied `index`; false if that does not happen within `timeoutMs`. */
  waitApplied(index: LogIndex, timeoutMs: number): Promise<boolean>
  /** Asks the cluster for other members, by its leader only. Settles like `propose`. */
  change(change: MembershipChange): Promise<ChangeOutcome>
  /** Hands the leadership over, to whoever is nearest if null (thesis §3.10); by the leader only. */
  transfer(to: NodeId | null): Promise<TransferOutcome>
  status(): NodeStatus
  /** Counts and queues; costs more than `status`. */
  measures(): NodeMeasures
}
