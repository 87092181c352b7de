import type { Result } from '../machine/state-machine.ts'
import type { LogPosition, NodeId } from '../raft/types.ts'

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
