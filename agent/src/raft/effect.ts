import type { Message } from './message.ts'
import type {
  Entry,
  HardState,
  LogIndex,
  LogPosition,
  NodeId,
  RequestId,
  SnapshotHeader,
  Term,
} from './types.ts'

/** What a finished write proves; made by the core, returned to it unread. */
export interface Receipt {
  /** Term and vote that were written. */
  readonly term: Term
  readonly vote: NodeId | null
  /** Last entry of the log as written; counts only while `term` is current. */
  readonly last: LogPosition
}

/**
 * Replaces everything from `truncateFrom` (null: nothing) and appends `entries`, together with the
 * hard state, in one atomic write.
 */
export interface Persist {
  readonly kind: 'persist'
  /** False: nothing new that safety needs; only wait for the earlier writes. */
  readonly sync: boolean
  readonly hardState: HardState
  readonly truncateFrom: LogIndex | null
  readonly entries: readonly Entry[]
  readonly receipt: Receipt
  /** May leave only after this write and all before it are durable. */
  readonly whenDurable: readonly Message[]
}

/** Why a proposal, a change or a read was refused. Nothing happened, and nothing will. */
export type RejectReason =
  | 'not-leader'
  | 'no-leader'
  | 'overloaded'
  /** an earlier change, a new leader's first commit or a learner's catching up is waited for: ask again */
  | 'change-pending'
  /** `planChange` says why */
  | 'bad-change'

/**
 * Everything that the core asks of the node, in the order it must be started.
 * An order that safety needs is a field, never a duty of whoever carries the effects out.
 */
export type Effect =
  /** `patient`: nobody waits for it, so that what others wait for may go first. */
  | { readonly kind: 'send'; readonly message: Message; readonly patient?: true }
  | Persist
  /** Read entries that are no longer in memory, at least one, up to `bytesMax` of payload. */
  | {
      readonly kind: 'load'
      readonly to: NodeId
      readonly from: LogIndex
      readonly upTo: LogIndex
      /** Handed back with the entries: an answer to an earlier term of office is not wanted. */
      readonly term: Term
      readonly bytesMax: number
    }
  /** Committed and locally durable; `entries` is null when they have to be read from the log. */
  | {
      readonly kind: 'apply'
      readonly from: LogIndex
      readonly upTo: LogIndex
      readonly entries: readonly Entry[] | null
    }
  /** The peer lacks what the log no longer has: send it a snapshot of this index or a later one. */
  | { readonly kind: 'send-snapshot'; readonly to: NodeId; readonly atLeast: LogIndex }
  /**
   * Replace the machine's state and the log by this snapshot. Comes when nothing is being written to
   * the log or applied, and nothing is until its end but writes of term and vote.
   */
  | {
      readonly kind: 'install-snapshot'
      readonly header: SnapshotHeader
      /** May leave only after the install is durable. */
      readonly whenInstalled: readonly Message[]
    }
  /** The proposals were appended at consecutive indexes; their answers are keyed by position. */
  | { readonly kind: 'accepted'; readonly first: LogPosition; readonly ids: readonly RequestId[] }
  /** The change asks for what is so already. */
  | { readonly kind: 'unchanged'; readonly id: RequestId }
  /** The reads may be answered once the machine has applied `index`. */
  | { readonly kind: 'read-ready'; readonly ids: readonly RequestId[]; readonly index: LogIndex }
  | { readonly kind: 'reject'; readonly ids: readonly RequestId[]; readonly reason: RejectReason }
