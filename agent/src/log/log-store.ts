import type {
  Entry,
  HardState,
  Identity,
  LogIndex,
  LogPosition,
  TermBorder,
} from '../raft/types.ts'

/** What `open` found. */
export interface LogState {
  /** Last entry of every log, or the origin when empty. */
  readonly last: LogPosition
  /** First index of every term that the log holds, ascending. */
  readonly borders: readonly TermBorder[]
  readonly hardState: HardState
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

/** Damage that is not a torn tail, a foreign identity, or a second owner: the node must not start. */
export class LogRefusal extends Error {
  override readonly name = 'LogRefusal'
}

/**
 * Raft's log and hard state on disk. One caller; one `persist` at a time; reads may overlap it.
 * Every implementation passes agent/test/log/log-store.contract.ts.
 */
export interface LogStore {
  /**
   * Creates or recovers. Verifies every record, cuts a torn tail, refuses any other damage.
   * @throws LogRefusal with what was found and where (file, offset)
   */
  open(identity: Identity): Promise<LogState>
  /**
   * Resolves when the batch is durable. A rejection is final: after a failed fsync nothing that the
   * file holds can be trusted, so the node stops (fsyncgate, 2018).
   */
  persist(batch: LogBatch): Promise<void>
  /**
   * Entries from `from` to at most `upTo`: at least one, then up to `bytesMax` of payload.
   * Checksums are verified at every read; damage rejects and stops the node.
   */
  read(from: LogIndex, upTo: LogIndex, bytesMax: number): Promise<readonly Entry[]>
  /** Marks a clean stop and releases the directory. */
  close(): Promise<void>
}
