import type { Entry, LogIndex, LogPosition, NodeId, Term } from './types.ts'

interface Envelope {
  readonly from: NodeId
  readonly to: NodeId
  /** The sender's term; of a pre-vote and of its grant, the term that the sender would campaign in. */
  readonly term: Term
}

/** §5.2; with `preVote`, only asks whether a campaign could be won (thesis §9.6). */
export interface RequestVote extends Envelope {
  readonly kind: 'request-vote'
  readonly preVote: boolean
  /** Last entry of the candidate's log, for the comparison of §5.4.1. */
  readonly last: LogPosition
}

export interface RequestVoteReply extends Envelope {
  readonly kind: 'request-vote-reply'
  readonly preVote: boolean
  readonly granted: boolean
}

/** §5.3. `prev` is the entry right before `entries`. */
export interface AppendEntries extends Envelope {
  readonly kind: 'append-entries'
  readonly prev: LogPosition
  readonly entries: readonly Entry[]
  readonly commit: LogIndex
}

/** `match`: the sender's log durably equals the leader's up to this index. */
export interface AppendEntriesReply extends Envelope {
  readonly kind: 'append-entries-reply'
  readonly match: LogIndex
}

/** `prev` did not match; `hint` is the last entry that still may (at or below prev, in index and term). */
export interface AppendEntriesRefusal extends Envelope {
  readonly kind: 'append-entries-refusal'
  readonly prevIndex: LogIndex
  readonly hint: LogPosition
}

/** Says only "I lead", and how far this peer may commit: min(match, commit). */
export interface Heartbeat extends Envelope {
  readonly kind: 'heartbeat'
  readonly commit: LogIndex
}

export interface HeartbeatReply extends Envelope {
  readonly kind: 'heartbeat-reply'
}

/** Everything that one node says to another about consensus. */
export type Message =
  | RequestVote
  | RequestVoteReply
  | AppendEntries
  | AppendEntriesReply
  | AppendEntriesRefusal
  | Heartbeat
  | HeartbeatReply
