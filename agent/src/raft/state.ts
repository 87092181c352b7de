import { Prng } from '../lib/prng.ts'
import type { Configuration } from './configuration.ts'
import { RaftLog } from './log.ts'
import type { Message } from './message.ts'
import { Outbox } from './outbox.ts'
import type { Progress, Window } from './progress.ts'
import { isQuorum } from './quorum.ts'
import {
  asLogIndex,
  type HardState,
  type LogIndex,
  type LogPosition,
  type NodeId,
  ORIGIN,
  type RequestId,
  type SnapshotHeader,
  type Term,
  type TermBorder,
} from './types.ts'

/** What a core is made with; all of it constant. Ticks are the node's: the core has no clock. */
export interface RaftOptions {
  readonly id: NodeId
  /** of the own disk (B17) */
  readonly incarnation: string
  /** Was there before the log said who is who; others are members only as whom the log says they are. */
  readonly founder: boolean
  readonly seed: number
  /** E: an election begins after [E, 2E) ticks without a leader (§5.2). */
  readonly electionTicks: number
  readonly heartbeatTicks: number
  readonly window: Window
  /** Payload of one AppendEntries, bytes; a single larger entry still goes. */
  readonly messageBytesMax: number
  /** Proposals beyond either are refused before they are appended. */
  readonly uncommittedBytesMax: number
  readonly uncommittedEntriesMax: number
  /** Linearizable reads that may wait at once, those of followers included. */
  readonly readsMax: number
  /** Applied entries kept in memory for followers that are behind, bytes. Where none is, far fewer. */
  readonly cacheBytesMax: number
}

/** Limits for a real cluster; ids, seed and ticks are the node's to give. */
export const DEFAULT_LIMITS = {
  window: { messagesMax: 256, bytesMax: 4 * 1024 * 1024 },
  messageBytesMax: 1024 * 1024,
  uncommittedBytesMax: 8 * 1024 * 1024,
  uncommittedEntriesMax: 1024,
  readsMax: 16_384,
  cacheBytesMax: 4 * 1024 * 1024,
} as const

/** What was found on disk at start. */
export interface Recovered {
  readonly hardState: HardState
  /** what the log was compacted up to; the origin if it is whole */
  readonly base: LogPosition
  readonly last: LogPosition
  readonly borders: readonly TermBorder[]
  /**
   * Last entry that the machine holds. Below `base`, the machine has lost what the log no longer has:
   * the core then asks its leader for a snapshot.
   */
  readonly applied: LogPosition
  /** in force there; `NO_CONFIGURATION` of a node that waits to be added */
  readonly configuration: Configuration
}

/** Only a leader has progress, only a candidate has votes. */
export type Role =
  | { readonly kind: 'follower' }
  /** `preVote`: still asking whether a campaign could be won (thesis §9.6); the term is unchanged. */
  | { readonly kind: 'candidate'; readonly preVote: boolean; readonly granted: Set<NodeId> }
  | Leader

export interface Leader {
  readonly kind: 'leader'
  /** one per member but itself */
  readonly progress: Map<NodeId, Progress>
  /** own entries that are not committed, oldest first */
  readonly uncommitted: { readonly index: LogIndex; readonly bytes: number }[]
  uncommittedBytes: number
  /** a change of the membership may be in the log up to here; the next one waits until it is applied */
  pendingConfIndex: LogIndex
  /** the leadership is being handed over; no proposals meanwhile */
  transfer: { readonly to: NodeId; ticks: number } | null
}

/** Who waits for a read index: a request of this node, or a follower. */
export type Reader =
  | { readonly kind: 'own'; readonly id: RequestId }
  | { readonly kind: 'peer'; readonly from: NodeId; readonly context: number }

export interface ReadRound {
  readonly context: number
  /** the leader's commit index when the round began; null on a follower, which has asked for it */
  readonly index: LogIndex | null
  readonly readers: readonly Reader[]
  /** who has followed this leader since */
  readonly confirmed: Set<NodeId>
  /** since a follower asked */
  ticks: number
}

/** Linearizable reads under way (thesis §6.4). */
export interface Reads {
  /** of the newest round; never used twice, not by another boot either */
  context: number
  round: ReadRound | null
  /** arrived since the round began */
  waiting: Reader[]
  /** whom they rely on */
  term: Term
  leader: NodeId | null
}

/** A snapshot that is to replace log and machine (§7). */
export interface Install {
  readonly header: SnapshotHeader
  readonly whenInstalled: readonly Message[]
  /** false while earlier writes or applies are awaited */
  readonly begun: boolean
}

/** Figure 2, and the timers. */
export interface State {
  /** never decreases */
  term: Term
  /** set at most once a term */
  vote: NodeId | null
  /** whom this node follows in `term`; itself while it leads */
  leader: NodeId | null
  role: Role
  /** what the last acceptance of an append in `term` said, or will say once it is durable; 0: none */
  accepted: LogIndex
  /** never decreases; ≤ log.last.index */
  commit: LogIndex
  /** entries up to here were handed to the machine; ≤ commit and ≤ log.durable */
  applying: LogIndex
  /** entries up to here are in the machine; ≤ applying */
  applied: LogIndex
  /** null: none is under way; until its end the log stands still, and nothing is applied */
  install: Install | null
  /**
   * The machine ends before the log begins: until a snapshot is installed nothing is applied, no read is
   * taken, and this node does not lead. Its log and its vote count as any other's.
   */
  needsSnapshot: boolean
  /**
   * The machine is not to be trusted (a quarantine): no read is taken, and this node does not lead. Its
   * log and its vote are whole and count as any other's: without them a diverged machine would cost the
   * cluster a voter. What is committed goes on being applied, so that the membership stays known.
   */
  standsAside: boolean
  /** in force: the last one that was applied */
  configuration: Configuration
  /** ticks since a leader was heard, a vote granted, a campaign begun; of a leader, since the quorum was checked */
  electionElapsed: number
  /** drawn anew for each wait, in [E, 2E) */
  electionTimeout: number
  heartbeatElapsed: number
  readonly reads: Reads
}

/** All that the parts of the core share. */
export interface Core {
  readonly options: RaftOptions
  readonly state: State
  readonly log: RaftLog
  readonly out: Outbox
  readonly prng: Prng
}

/** Rounds of reads that a boot can number before it could meet another's numbers. */
const CONTEXTS_PER_BOOT = 2 ** 20

export function createCore(options: RaftOptions, recovered: Recovered): Core {
  const { hardState, base, last, borders, applied, configuration } = recovered
  const prng = new Prng(options.seed)
  // What was compacted was committed, whatever became of the machine.
  const commit = asLogIndex(Math.max(hardState.commit, applied.index, base.index))
  const alone = isQuorum(configuration, id => id === options.id)
  const state: State = {
    term: hardState.term,
    vote: hardState.vote,
    leader: null,
    role: { kind: 'follower' },
    accepted: ORIGIN.index,
    commit,
    applying: applied.index,
    applied: applied.index,
    install: null,
    needsSnapshot: applied.index < base.index,
    standsAside: false,
    configuration,
    electionElapsed: 0,
    // Nobody else can lead a cluster of one: there is nothing to wait for.
    electionTimeout: alone ? 1 : drawElectionTimeout(options, prng),
    heartbeatElapsed: 0,
    reads: {
      context: prng.next() * CONTEXTS_PER_BOOT,
      round: null,
      waiting: [],
      term: hardState.term,
      leader: null,
    },
  }
  return { options, state, log: new RaftLog(last, borders, base), out: new Outbox(hardState), prng }
}

/** §5.2, §9.3: spread out, so that split votes are rare. */
export function drawElectionTimeout(options: RaftOptions, prng: Prng): number {
  return prng.between(options.electionTicks, options.electionTicks * 2)
}
