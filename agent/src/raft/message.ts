import type { Entry, LogIndex, LogPosition, NodeId, SnapshotHeader, Term } from './types.ts'

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
  /** The leader itself asked for this campaign: believing it alive is no reason to refuse (thesis §3.10). */
  readonly transfer: boolean
  /** Of the voter, in the candidate's configuration: '' if that does not say yet who the voter is. */
  readonly incarnation: string
  /** Last entry of the candidate's log, for the comparison of §5.4.1. */
  readonly last: LogPosition
  /** Last entry that the candidate knows to be committed. Whoever holds it may commit up to it. */
  readonly commit: LogPosition
}

export interface RequestVoteReply extends Envelope {
  readonly kind: 'request-vote-reply'
  readonly preVote: boolean
  readonly granted: boolean
  /** As in the request: a candidate that lacks a configuration's commit learns of it (etcd#12359). */
  readonly commit: LogPosition
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
  /** The round of reads that an answer confirms (thesis §6.4); 0: none waits. */
  readonly context: number
}

export interface HeartbeatReply extends Envelope {
  readonly kind: 'heartbeat-reply'
  readonly context: number
  /**
   * The sender's machine ends before its log begins: it needs a snapshot of this index or a later one.
   * 0: it needs none, or is installing one.
   */
  readonly lacking: LogIndex
}

/** A follower asks how far it must have applied to answer a linearizable read (thesis §6.4). */
export interface ReadIndexRequest extends Envelope {
  readonly kind: 'read-index'
  /** Unique for every attempt, so that a late answer to an earlier one cannot pass for this one's. */
  readonly context: number
}

export interface ReadIndexReply extends Envelope {
  readonly kind: 'read-index-reply'
  readonly context: number
  readonly index: LogIndex
}

/** §7. The file itself went ahead: this arrives once it is whole. Accepted by an AppendEntriesReply. */
export interface InstallSnapshot extends Envelope {
  readonly kind: 'install-snapshot'
  readonly header: SnapshotHeader
}

/** The leader hands over: campaign at once, without asking first (thesis §3.10). */
export interface TimeoutNow extends Envelope {
  readonly kind: 'timeout-now'
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
  | ReadIndexRequest
  | ReadIndexReply
  | TimeoutNow
  | InstallSnapshot
