import { LogRefusal, type LogState } from '../log/log-store.ts'
import {
  asLogIndex,
  type LogIndex,
  type LogPosition,
  type SnapshotHeader,
  type Term,
} from '../raft/types.ts'

/** What the disks of a node hold at its start. Foreign identities were refused before. */
export interface Found {
  readonly log: LogState
  /** Of the machine. */
  readonly applied: LogPosition
  /** Newest snapshot that is stored whole; null: none. */
  readonly stored: SnapshotHeader | null
  /** Whether the file of the log's marker is there. */
  readonly markedFile: boolean
}

/** What a node does with that. */
export type Recovery =
  /** An install was cut short: `restore` its file and then `reset` the log, or just that; then decide again. */
  | {
      readonly kind: 'finish-install'
      readonly header: SnapshotHeader
      readonly next: 'restore' | 'reset'
    }
  /** The machine lost what the log no longer has: restore this snapshot, then decide again. */
  | { readonly kind: 'restore'; readonly header: SnapshotHeader }
  /** The same, without a snapshot: keep log and vote, serve nothing, ask the leader for one. */
  | { readonly kind: 'fetch' }
  /** The machine goes on behind what it holds. */
  | { readonly kind: 'start'; readonly commit: LogIndex }
  /** A lost, foreign or cloned disk. Nothing is "cleaned". */
  | { readonly kind: 'refuse'; readonly why: string }

/** Compares log, machine and snapshots before anything is served: the first row that matches decides, and fails closed. */
export function decideRecovery(found: Found): Recovery {
  const { log, applied } = found
  const { base, last, hardState, marker } = log
  if (marker !== null) return finish(marker, found)
  const refuse = (why: string): Recovery => ({ kind: 'refuse', why })
  if (hardState.term < last.term || hardState.term < applied.term) {
    return refuse(
      `the saved term ${hardState.term} is behind the log (${last.term}) or the machine (${applied.term})`,
    )
  }
  if (hardState.commit > last.index) {
    return refuse(
      `entries up to ${hardState.commit} were committed, but the log ends at ${last.index}`,
    )
  }
  if (applied.index > last.index) {
    return refuse(`the machine holds entry ${applied.index}, but the log ends at ${last.index}`)
  }
  if (applied.index < base.index) return refill(found)
  const term = termAt(log, applied.index)
  if (term !== applied.term) {
    return refuse(
      `entry ${applied.index} has term ${applied.term} in the machine and term ${term} in the log`,
    )
  }
  return { kind: 'start', commit: asLogIndex(Math.max(hardState.commit, applied.index)) }
}

/** In words for the operator. */
export function refusalOf(why: string): LogRefusal {
  return new LogRefusal(
    'lost',
    `${why}. The files are kept as they are: restore this node's data directory from its own disk, ` +
      'or wipe it and let the node join again as a new member.',
  )
}

function finish(header: SnapshotHeader, { applied, markedFile }: Found): Recovery {
  const { position } = header
  if (applied.index === position.index && applied.term === position.term) {
    return { kind: 'finish-install', header, next: 'reset' }
  }
  if (markedFile) return { kind: 'finish-install', header, next: 'restore' }
  const why = `the install of the snapshot at ${position.index} was cut short, and its file is gone`
  return { kind: 'refuse', why }
}

/** A stored snapshot proves by itself that its entry is committed; the log has to hold that very entry. */
function refill({ log, stored }: Found): Recovery {
  if (stored === null) return { kind: 'fetch' }
  const { index, term } = stored.position
  return termAt(log, index) === term ? { kind: 'restore', header: stored } : { kind: 'fetch' }
}

/** Null where the log has no such entry. */
export function termAt({ base, borders, last }: LogState, index: LogIndex): Term | null {
  if (index === base.index) return base.term
  if (index < base.index || index > last.index) return null
  return borders.findLast(border => border.first <= index)?.term ?? null
}
