import type { Clock } from '../clock/clock.ts'
import type { LogStore } from '../log/log-store.ts'
import type { SnapshotStore } from '../log/snapshot-store.ts'
import type { StateMachine } from '../machine/state-machine.ts'
import type { Identity } from '../raft/types.ts'
import type { Contact, Transport } from '../transport/transport.ts'
import type { CompactionSettings } from './compactor.ts'
import type { Reach } from './fault-points.ts'
import type { Recording } from './flight-recorder.ts'
import type { Logger } from './logger.ts'
import type { MemberAddress } from './node-api.ts'
import type { QuarantineMark } from './quarantine.ts'

/** Where snapshots are kept, and when the log is shortened. */
export interface SnapshotOptions extends CompactionSettings {
  readonly store: SnapshotStore
}

/** What a node is made of, and its times in milliseconds. */
export interface NodeOptions<Query, Answer> {
  readonly identity: Identity
  /** How others reach this node. */
  readonly contact: Contact
  /** The voters of a new cluster, this node included, the same on each; null: this node waits to be added to one. */
  readonly founders: readonly MemberAddress[] | null
  /** No other member was ever met from this data directory: what is lost here nobody else has. Default: not so. */
  readonly alone?: boolean
  readonly log: LogStore
  readonly machine: StateMachine<Query, Answer>
  readonly snapshots: SnapshotOptions
  readonly transport: Transport
  readonly clock: Clock
  readonly logger: Logger
  /** For the election timeouts; should differ between nodes and starts. */
  readonly seed: number
  readonly electionTimeoutMs: number
  readonly heartbeatIntervalMs: number
  /** After this a proposal of unknown fate is answered `unknown`. */
  readonly commitTimeoutMs: number
  /** The node has stopped itself: a disk failed, or an invariant broke. With what led to it. */
  readonly onFatal: (error: unknown, recording: Recording | null) => void
  /** Between two comparisons of all machines; 0: never. Default: ten seconds. */
  readonly checkIntervalMs?: number
  /** Remembers that this node's machine is not to be trusted. Default: nothing does. */
  readonly quarantine?: QuarantineMark
  /** From now on the machine is not read: whoever shows what it held is to stop. */
  readonly onQuarantine?: () => void
  /** Told of each step of which a crash must do no harm. Default: nobody is. */
  readonly reach?: Reach
}
