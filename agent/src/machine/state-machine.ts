import type { Identity, LogPosition } from '../raft/types.ts'

type Awaitable<T> = T | Promise<T>

/** An entry that is committed, and durable on this node. */
export interface CommittedEntry {
  readonly position: LogPosition
  /** Null: a no-op of the cluster; it advances the position and does nothing else. */
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
 * What the cluster replicates. Every node applies the same entries in the same order, so a result
 * may depend on nothing but the state and the entry: no clock, no chance, no environment, no
 * unordered iteration.
 *
 * A command that cannot be carried out (undecodable, a constraint, a failed comparison) gives a
 * `rejected` result. Any other error (disk full, I/O) must be thrown, with nothing of the batch
 * applied: recorded as a result it would make this node differ from the others for ever.
 */
export interface StateMachine<Query, Answer> {
  /**
   * Opens or creates; the first call. Returns the position of the last applied entry, the origin when new.
   * @throws when the files belong to another identity
   */
  open(identity: Identity): Awaitable<LogPosition>
  /**
   * Applies a batch in log order; resolves once visible to `query`. What reaches the disk is always
   * a whole number of batches together with the position of the last entry, in ONE transaction; a
   * crash may take the newest batches back, and the log gives them again. Entries at or below the
   * applied position are skipped (result null). Where a batch begins and ends must not matter.
   * @throws Divergence | Gap | the error of the surroundings; then nothing of the batch has happened
   */
  apply(entries: readonly CommittedEntry[]): Awaitable<readonly (Result | null)[]>
  /** Reads only; sees every `apply` that has resolved. */
  query(query: Query): Awaitable<Answer>
  /** Moves what was applied so far towards the disk, off the event loop; the node calls it now and then. */
  checkpoint(): Promise<void>
  close(): Awaitable<void>
}
