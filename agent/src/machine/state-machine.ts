import type { Identity, LogPosition } from '../raft/types.ts'

type Awaitable<T> = T | Promise<T>

/** How far a machine is: stored in one transaction with the data, and part of every snapshot. */
export interface Applied extends LogPosition {
  /** The membership in force after this position; opaque to the machine, and empty in a new one. */
  readonly configuration: Uint8Array
  /** 32 bytes over every entry and its result (see `Chain`), zeros in a new machine: equal on every replica at this position. */
  readonly chainHash: Uint8Array
}

/** The whole state as of one position, which stays as it is while the machine goes on. To be released. */
export interface SnapshotView {
  readonly applied: Applied
  /** Writes all of it to a file, which is replaced if it is there, and fsyncs that; its name is not made durable. */
  writeTo(file: string): Promise<void>
  /** Nothing may be written from it afterwards. */
  release(): void
}

/** What a backup says of itself. */
export interface Former {
  readonly clusterId: string
  readonly applied: LogPosition
}

/** Where a cluster begins that is made of a backup of another one. */
export interface Beginning {
  /** above what the backup holds */
  readonly position: LogPosition
  /** in force there */
  readonly configuration: Uint8Array
}

/** An entry that is committed, and durable on this node. */
export interface CommittedEntry {
  readonly position: LogPosition
  /** Null: an entry of the cluster's own; it advances position and chain and does nothing else. */
  readonly command: Uint8Array | null
  /**
   * When the leader proposed it, Unix ms by the leader's clock: the only time that a machine may
   * use. It may fall along the log, when leaders' clocks differ.
   */
  readonly timeMs: number
  /** Null: a request that comes twice takes effect twice. */
  readonly idempotency: Idempotency | null
}

/** Names one request of a client, so that it takes effect once however often it is sent. */
export interface Idempotency {
  /** The client's `Idempotency-Key`: 1–255 printable ASCII characters. */
  readonly key: string
  /** SHA-256 of the command: the same key with another command is refused. */
  readonly requestHash: Uint8Array
}

/** Equal on every replica. `rejected` is a deterministic refusal: it is recorded, and the position advances. */
export type Result =
  | { readonly kind: 'done'; readonly value: Uint8Array | null }
  | { readonly kind: 'rejected'; readonly code: string }

/** The machine holds another entry at this index: another history. The node stops and keeps its files. */
export class Divergence extends Error {
  override readonly name = 'Divergence'
}

/** The next entry is not the one after the applied position. The node stops and keeps its files. */
export class Gap extends Error {
  override readonly name = 'Gap'
}

/**
 * The last guard where a snapshot is to take the place of all that was applied: a machine is never taken back, nor
 * to another history. Changes nothing.
 * @throws Divergence
 */
export function requireForward(applied: LogPosition, snapshot: LogPosition): void {
  const same = snapshot.index === applied.index && snapshot.term === applied.term
  if (same || (snapshot.index > applied.index && snapshot.term >= applied.term)) return
  throw new Divergence(
    `a snapshot at (${snapshot.index}, term ${snapshot.term}) would take back the applied (${applied.index}, term ${applied.term})`,
  )
}

/**
 * A file does not hold what was written to it: bytes have changed, or are missing. Nothing of it may be
 * served or sent; the other nodes have the data. A file of another identity, schema or machine is none.
 */
export class MachineDamaged extends Error {
  override readonly name = 'MachineDamaged'
  /** Path of the damaged file: the machine's own, or the snapshot that was looked at. */
  readonly file: string

  constructor(file: string, problem: string, options?: ErrorOptions) {
    super(`${file} is damaged: ${problem}`, options)
    this.file = file
  }
}

/**
 * What the cluster replicates. Every node applies the same entries in the same order, so a result
 * may depend on nothing but the state and the entry: no clock, no chance, no environment, no
 * unordered iteration.
 *
 * A command that cannot be carried out (undecodable, a constraint, a failed comparison) gives a
 * `rejected` result. Any other error (disk full, I/O) must be thrown, with nothing of the batch
 * applied: recorded as a result it would make this node differ from the others for ever.
 */
export interface StateMachine<Query, Answer> {
  /** `durable`: keeps its state over a restart. `memory`: the node gives it the newest stored snapshot, then the log. */
  readonly storage: 'durable' | 'memory'
  /**
   * Opens or creates; the first call. Returns how far the machine is, the origin when new.
   * @throws MachineDamaged | an error in words when the files belong to another identity
   */
  open(identity: Identity): Awaitable<Applied>
  /**
   * Applies a batch in log order; resolves once visible to `query`. What reaches the disk is always
   * a whole number of batches together with the position of the last entry, in ONE transaction; a
   * crash may take the newest batches back, and the log gives them again. Entries at or below the
   * applied position are skipped (result null). Where a batch begins and ends must not matter.
   * @param configuration the membership in force after the last entry; stored in the same transaction
   * @throws Divergence | Gap | the error of the surroundings; then nothing of the batch has happened
   */
  apply(
    entries: readonly CommittedEntry[],
    configuration: Uint8Array,
  ): Awaitable<readonly (Result | null)[]>
  /** Reads only; sees every `apply` that has resolved. */
  query(query: Query): Awaitable<Answer>
  /** How far the machine is: what `query` sees now. */
  applied(): Applied
  /** What power loss cannot take back: the log may be dropped up to here. Never above `applied`; the origin when unknown, or in memory. */
  durablePosition(): LogPosition
  /** What a checkpoint has to move has become large: one is due, whatever the node thinks. */
  checkpointDue?(): boolean
  /**
   * Makes what was applied so far durable, off the event loop; the node calls it now and then.
   * @returns the new durable position; the old one if a reader stood in the way
   */
  checkpoint(): Promise<LogPosition>
  /** A view of all that was applied so far: the data, the answers to requests, and how far it is. Applies go on meanwhile. */
  snapshot(): Awaitable<SnapshotView>
  /**
   * Verifies a file that another node's `writeTo` made, apart from the live state, and puts the own
   * identity in place of the sender's. The file is fsynced.
   * @returns what it contains
   * @throws MachineDamaged | an error in words when it is of another cluster, or not of this machine
   */
  inspect(file: string): Awaitable<Applied>
  /**
   * Like `inspect`, for a backup of another cluster: it gets the own identity, and is from now on what was
   * applied up to where this cluster begins. `restore` takes it then. A machine without this cannot be
   * restored from a backup.
   * @param begin chooses where, by what the file says of itself; may throw to refuse it
   * @throws also when the file is damaged, or not of this machine
   */
  adopt?(file: string, begin: (former: Former) => Beginning): Awaitable<Applied>
  /**
   * Replaces the whole state by an inspected file, which may be gone afterwards. Nothing is applied
   * meanwhile. After a crash `open` finds the old state, maybe an older one, or the new one, and the call
   * can be repeated as long as the file is there.
   */
  restore(file: string): Awaitable<Applied>
  close(): Awaitable<void>
}
