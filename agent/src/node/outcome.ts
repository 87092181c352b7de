import type { Result } from '../machine/state-machine.ts'
import type { LogIndex, LogPosition, NodeId } from '../raft/types.ts'

/**
 * What became of a proposal. "Surely not" and "perhaps" never share a member:
 * - `applied`: fsynced on a majority and applied here
 * - `not-leader`, `no-leader`, `overloaded`: nothing happened, and nothing will
 * - `unknown`: appended, its fate not learnt in time; it may yet happen
 */
export type Outcome =
  | { readonly kind: 'applied'; readonly position: LogPosition; readonly result: Result }
  | { readonly kind: 'not-leader'; readonly leader: NodeId | null }
  | { readonly kind: 'no-leader' }
  | { readonly kind: 'overloaded' }
  | { readonly kind: 'unknown' }

/**
 * May this node answer a linearizable read? `ready`: its machine now shows everything that was
 * answered before the read began. A read is never of unknown fate: it can simply be asked again.
 */
export type ReadOutcome =
  | { readonly kind: 'ready'; readonly index: LogIndex }
  | { readonly kind: 'no-leader' }
