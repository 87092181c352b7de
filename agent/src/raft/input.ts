import type { Configuration, MembershipChange } from './configuration.ts'
import type { Receipt } from './effect.ts'
import type { Message } from './message.ts'
import type { Entry, LogPosition, NodeId, RequestId, Term } from './types.ts'

export interface Proposal {
  readonly id: RequestId
  readonly payload: Uint8Array
}

/** Everything that can happen to the core. Time and finished writes are inputs like any other. */
export type Input =
  | { readonly kind: 'tick' }
  | { readonly kind: 'receive'; readonly message: Message }
  /** All that one turn of the node's loop collected: one entry each, one write together. */
  | { readonly kind: 'propose'; readonly proposals: readonly Proposal[] }
  /** Linearizable reads that one turn collected (thesis §6.4). */
  | { readonly kind: 'read'; readonly ids: readonly RequestId[] }
  /** Change the membership (§6). */
  | { readonly kind: 'change'; readonly id: RequestId; readonly change: MembershipChange }
  /** Append an entry at which all nodes compare what their machines have come to. */
  | { readonly kind: 'propose-check'; readonly id: RequestId }
  /** Hand the leadership over, to whoever is nearest if null (thesis §3.10). */
  | { readonly kind: 'transfer'; readonly to: NodeId | null }
  /** A `persist` is durable; its receipt is handed back unread. In order of issue. */
  | { readonly kind: 'persisted'; readonly receipt: Receipt }
  /** The answer to `load`: entries from the log, starting exactly where asked; none if `compacted` since. */
  | {
      readonly kind: 'loaded'
      readonly to: NodeId
      readonly term: Term
      readonly entries: readonly Entry[]
    }
  /** The machine holds everything up to `position`; null: the configuration is as it was. */
  | {
      readonly kind: 'applied'
      readonly position: LogPosition
      readonly configuration: Configuration | null
    }
  /** Nothing at or below `base` is asked for any more but its term: told before the files go. */
  | { readonly kind: 'compacted'; readonly base: LogPosition }
  /** The end of each `send-snapshot`: whether the whole file and its message went out. */
  | { readonly kind: 'snapshot-sent'; readonly to: NodeId; readonly ok: boolean }
  /** The end of each `install-snapshot`: machine and log begin at `position`. */
  | {
      readonly kind: 'snapshot-installed'
      readonly position: LogPosition
      readonly configuration: Configuration
    }
  /**
   * From now on, and until the process ends: the machine is not to be trusted, while log and vote are.
   * To be told again at the next start, before anything else.
   */
  | { readonly kind: 'stand-aside' }
  /** The transport saw the leader die: need not wait for it any longer, in the same term. */
  | { readonly kind: 'forget-leader' }
  /** The transport dropped messages to this peer. */
  | { readonly kind: 'unreachable'; readonly peer: NodeId }
