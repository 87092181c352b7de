import type {
  Entry,
  HardState,
  Identity,
  LogIndex,
  LogPosition,
  SnapshotHeader,
  TermBorder,
} from '../raft/types.ts'

/** What `open` found. */
export interface LogState {
  /** The last entry that was dropped from the front: the log holds what follows it, and of it the term. The origin: nothing was. */
  readonly base: LogPosition
  /** Last entry, or the base when there is none. */
  readonly last: LogPosition
  /** First index of every term among the entries that the log holds, ascending. */
  readonly borders: readonly TermBorder[]
  readonly hardState: HardState
  /** Of a snapshot whose install was begun, and has to be finished before anything else. */
  readonly marker: SnapshotHeader | null
}

/** One atomic write: hard state, truncation and entries together, or nothing of it. */
export interface LogBatch {
  readonly hardState: HardState
  /** First index to be dropped before `entries` are appended; null: none. */
  readonly truncateFrom: LogIndex | null
  /** Contiguous; the first follows what is left after the truncation. */
  readonly entries: readonly Entry[]
  /** max(commit, applied): nothing at or below it may be truncated. */
  readonly floor: LogIndex
}

/** What was to be read has been dropped by `compact` or `reset`: too old, not damaged. The log goes on. */
export class LogCompacted extends Error {
  override readonly name = 'LogCompacted'
}

/**
 * Why a node must not start with these files:
 * - `damage`: bytes are not those that were written, and no crash explains it
 * - `lost`: something that was written is not there, or older than what another file says: it may be elsewhere
 * - `identity`: they belong to another node, cluster or history
 * - `owner`: another process uses them
 */
export type RefusalReason = 'damage' | 'lost' | 'identity' | 'owner'

/** The files must not be used, and are left as they are. What it found stands in the message, for the operator. */
export class LogRefusal extends Error {
  override readonly name = 'LogRefusal'
  readonly reason: RefusalReason

  constructor(reason: RefusalReason, message: string) {
    super(message)
    this.reason = reason
  }
}

/**
 * Raft's log and hard state on disk. One caller; one `persist` at a time; reads may overlap it, and so
 * may `compact`, `mark` and `reset`, which are carried out between two writes. Each of these resolves
 * when durable, and a rejection is as final as that of `persist`.
 * Every implementation passes agent/test/log/log-store.contract.ts.
 */
export interface LogStore {
  /**
   * Creates or recovers. Verifies every record, cuts a torn tail, refuses any other damage.
   * @throws LogRefusal with what was found and where (file, offset)
   */
  open(identity: Identity): Promise<LogState>
  /** As `open` told it, and what was written since. */
  state(): LogState
  /** Bytes of the log that hold what follows `index`: for limits and for operators, a little more or less. */
  bytesAfter(index: LogIndex): number
  /**
   * Resolves when the batch is durable. A rejection is final: after a failed fsync nothing that the
   * file holds can be trusted, so the node stops (fsyncgate, 2018).
   */
  persist(batch: LogBatch): Promise<void>
  /**
   * Entries from `from` to at most `upTo`: at least one, then up to `bytesMax` of payload.
   * Checksums are verified at every read; damage rejects and stops the node.
   * @throws LogCompacted when `from` is at or below the base
   */
  read(from: LogIndex, upTo: LogIndex, bytesMax: number): Promise<readonly Entry[]>
  /**
   * Drops the entries up to `base`, an entry of this log, and the files that hold nothing else. The caller
   * has proved that power loss does not take them from the machine (E5). The new base is durable before
   * any file goes. At or below the present base it does nothing.
   */
  compact(base: LogPosition): Promise<void>
  /**
   * From now on the snapshot is being installed: a restart finds the marker. One at a time; the same
   * again does nothing. It is beyond what is committed, or, for a machine that was lost, an entry of this log.
   */
  mark(header: SnapshotHeader): Promise<void>
  /**
   * One atomic record: the marked snapshot is installed. It becomes the base, its entry is committed, the
   * marker is cleared. What follows it is kept if the log holds that very entry, and dropped otherwise.
   */
  reset(header: SnapshotHeader): Promise<void>
  /** Marks a clean stop and releases the directory. */
  close(): Promise<void>
}
