import { asLogIndex, type LogIndex } from '../raft/types.ts'

/** A member that is fed from this log. */
export interface Follower {
  /** Last entry that it is known to hold. */
  readonly match: LogIndex
  /** Heard of lately: for one that is gone nothing is kept, it will get a snapshot. */
  readonly isLive: boolean
  /** Log behind `match`, bytes. */
  readonly behindBytes: number
}

export interface CompactionInput {
  /** Of the log, at present. */
  readonly base: LogIndex
  /** What power loss does not take from the machine (E5). */
  readonly durable: LogIndex
  readonly followers: readonly Follower[]
  /** Position of a snapshot that is being sent: what follows it is needed when it has arrived. Null: none. */
  readonly sending: LogIndex | null
}

export interface CompactionLimits {
  /** Entries kept behind what could go, for followers that fall back a little (`log.trailing_logs`). */
  readonly trailing: number
  /** So far behind, bytes, a live follower is better served by a snapshot than by keeping the log for it. */
  readonly followerBytesMax: number
  /** Entries that at least go at once (`snapshot.snapshot_threshold`): every compaction costs a write. */
  readonly threshold: number
}

/**
 * Up to which entry the log can be dropped now; null: it is not worth it. Never beyond what is durable in
 * the machine, whatever the followers and the limits are.
 */
export function compactTo(
  { base, durable, followers, sending }: CompactionInput,
  { trailing, followerBytesMax, threshold }: CompactionLimits,
): LogIndex | null {
  let index: number = sending === null ? durable : Math.min(durable, sending)
  for (const { match, isLive, behindBytes } of followers) {
    if (isLive && behindBytes <= followerBytesMax) index = Math.min(index, match)
  }
  index -= trailing
  return index - base < Math.max(1, threshold) ? null : asLogIndex(index)
}
