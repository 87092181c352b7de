import { Histogram } from '../lib/histogram.ts'
import type { Role } from '../raft/state.ts'
import type { NodeId } from '../raft/types.ts'

/** What a node has counted, and what it keeps waiting at this moment: for operators. */
export interface NodeMeasures {
  /** of one write to the log, fsync included */
  readonly persistSeconds: Histogram
  /** of one batch in the machine */
  readonly applySeconds: Histogram
  /** how often this node has stood for election; asking first whether it could win does not count */
  readonly campaigns: number
  /** how often it learnt of another leader than before; losing one without another counts at the next */
  readonly leaderChanges: number
  /** of the log on disk, about */
  readonly logBytes: number
  /** how often the front of the log was dropped */
  readonly compactions: number
  readonly snapshots: {
    /** made here */
    readonly built: number
    /** that reached another node whole */
    readonly sent: number
    /** that came here whole */
    readonly received: number
    /** transfers that came to nothing */
    readonly failed: number
    readonly bytesSent: number
    readonly bytesReceived: number
    /** how often machine and log were replaced by one */
    readonly installs: number
  }
  readonly waiting: {
    /** not handed to the core yet */
    readonly proposals: number
    /** appended; their fate is open */
    readonly uncommitted: number
    readonly reads: number
    /** readers that wait for an index of theirs */
    readonly indexes: number
    /** writes to the log that wait for the one under way */
    readonly persists: number
  }
  /** as its leader knows them; empty on other nodes */
  readonly peers: readonly {
    readonly peer: NodeId
    /** entries of the leader's log that the peer is not known to hold */
    readonly lag: number
  }[]
}

/** Times work by one clock. */
export class Stopwatch {
  readonly #now: () => number
  readonly #into: Histogram

  /** @param now monotonic milliseconds */
  constructor(now: () => number, into: Histogram) {
    this.#now = now
    this.#into = into
  }

  start(): number {
    return this.#now()
  }

  stop(began: number): void {
    this.#into.observe((this.#now() - began) / 1000)
  }
}

/** What a node counts as it goes. */
export class Counters {
  readonly persistSeconds = new Histogram()
  readonly applySeconds = new Histogram()
  campaigns = 0
  leaderChanges = 0
  #leader: NodeId | null = null

  view(): Pick<NodeMeasures, 'persistSeconds' | 'applySeconds' | 'campaigns' | 'leaderChanges'> {
    const { persistSeconds, applySeconds, campaigns, leaderChanges } = this
    return { persistSeconds, applySeconds, campaigns, leaderChanges }
  }

  /** The role, term or leader is another one than before. */
  changed(role: Role, leader: NodeId | null): void {
    if (role.kind === 'candidate' && !role.preVote) this.campaigns++
    if (leader === null || leader === this.#leader) return
    this.#leader = leader
    this.leaderChanges++
  }
}
