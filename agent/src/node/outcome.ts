import type { Result } from '../machine/state-machine.ts'
import type { LogIndex, LogPosition, NodeId } from '../raft/types.ts'

/**
 * What became of a proposal. "Surely not" and "perhaps" never share a member:
 * - `applied`: fsynced on a majority and applied here
 * - `not-leader`, `no-leader`, `overloaded`, `no-room` (on the disk): nothing happened, and nothing will
 * - `unknown`: appended, its fate not learnt in time; it may yet happen
 */
export type Outcome =
  | { readonly kind: 'applied'; readonly position: LogPosition; readonly result: Result }
  | { readonly kind: 'not-leader'; readonly leader: NodeId | null }
  | { readonly kind: 'no-leader' }
  | { readonly kind: 'overloaded' }
  | { readonly kind: 'no-room' }
  | { readonly kind: 'unknown' }

/**
 * May this node answer a linearizable read? `ready`: its machine now shows everything that was
 * answered before the read began. A read is never of unknown fate: it can simply be asked again.
 */
export type ReadOutcome =
  | { readonly kind: 'ready'; readonly index: LogIndex }
  | { readonly kind: 'no-leader' }

/**
 * What became of a membership change. After `applied` it is in force on a majority and here; a node
 * that was added is a learner then, and votes once it has caught up.
 */
export type ChangeOutcome =
  | { readonly kind: 'applied' }
  /** It was so already. */
  | { readonly kind: 'unchanged' }
  /** It cannot be, in words; nothing happened. */
  | { readonly kind: 'refused'; readonly why: string }
  /** An earlier change has to be complete first, or this leader is too new; nothing happened. */
  | { readonly kind: 'change-pending' }
  | Exclude<Outcome, { readonly kind: 'applied' }>

export type TransferOutcome =
  | { readonly kind: 'done'; readonly leader: NodeId }
  | { readonly kind: 'refused'; readonly why: string }
  /** Nobody took over in time; this node may still lead. */
  | { readonly kind: 'failed' }
  | Extract<Outcome, { readonly kind: 'not-leader' | 'no-leader' }>
