/** The words that every floor shares: terms, indexes, positions, entries. */

declare const brand: unique symbol
type Brand<Base, Name extends string> = Base & { readonly [brand]: Name }

/** Raft's logical clock (§5.1). A double: 2^53 terms or entries outlast the machine. */
export type Term = Brand<number, 'Term'>
/** Position of an entry in the log; the first one has index 1, and 0 means "before the log". */
export type LogIndex = Brand<number, 'LogIndex'>
/** Name of a node, unique in its cluster: 1–64 characters of `A-Z a-z 0-9 . _ -`. */
export type NodeId = Brand<string, 'NodeId'>

/** An index alone does not say which history it belongs to, so the two never travel apart. */
export interface LogPosition {
  readonly index: LogIndex
  readonly term: Term
}

/** @throws RangeError unless `value` is a whole number in [0, 2^53) */
export function asTerm(value: number): Term {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a term: ${value}`)
  return value as Term
}

/** @throws RangeError unless `value` is a whole number in [0, 2^53) */
export function asLogIndex(value: number): LogIndex {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a log index: ${value}`)
  return value as LogIndex
}

/** What names a node: `.` and `..` could not stand in a path. */
export const NODE_ID = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}$/

/** @throws RangeError unless `value` is 1–64 characters of `A-Z a-z 0-9 . _ -`, and neither `.` nor `..` */
export function asNodeId(value: string): NodeId {
  if (!NODE_ID.test(value)) throw new RangeError(`not a node id: ${value}`)
  return value as NodeId
}

/** Before the first entry of every log. */
export const ORIGIN: LogPosition = { index: asLogIndex(0), term: asTerm(0) }

/** One of Raft's log entries (§5.3). */
export interface Entry extends LogPosition {
  /**
   * `no-op`: appended by a new leader, so that it can commit what earlier terms left (§8).
   * `configuration`: the whole new configuration, in force once applied (§6).
   * `check`: every node states what its machine has come to here.
   */
  readonly kind: 'command' | 'no-op' | 'configuration' | 'check'
  /** Of a command opaque to the core; empty for a no-op and a check. Never modified once proposed. */
  readonly payload: Uint8Array
}

/** What must survive a crash beside the entries (Figure 2). One record, so that no part is lost alone. */
export interface HardState {
  /** never decreases */
  readonly term: Term
  /** whom this node voted for in `term`; never changes within a term once set */
  readonly vote: NodeId | null
  /** a hint, so that a restart need not wait for a leader: saved beside other writes, never by itself */
  readonly commit: LogIndex
}

/** Who owns a data directory. Stamped into the log and the machine, checked at every open. */
export interface Identity {
  readonly clusterId: string
  readonly nodeId: NodeId
  /** Drawn when the data directory is created: a wiped disk comes back as somebody else. */
  readonly incarnation: string
}

/** What a snapshot contains, and how to know it whole (§7). */
export interface SnapshotHeader {
  /** Last entry that it covers. */
  readonly position: LogPosition
  /** In force there: `encodeConfiguration`. */
  readonly configuration: Uint8Array
  /** Unique for every snapshot that a node makes. */
  readonly id: string
  /** Of the file. */
  readonly bytes: number
  /** Of the file, in hexadecimal. */
  readonly sha256: string
}

/** A term and the index of its first entry: enough to know the term of every entry. */
export interface TermBorder {
  readonly first: LogIndex
  readonly term: Term
}

/** Names a proposal between the node and the core; unique while the process lives. */
export type RequestId = number
