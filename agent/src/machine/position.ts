import type { LogPosition } from '../raft/types.ts'
import { type CommittedEntry, Divergence, Gap } from './state-machine.ts'

/**
 * How many entries at the head of a batch were applied before and are to be skipped. The last of the
 * three guards against another history (the core and the log store have theirs): looks at the whole
 * batch, and changes nothing.
 * @throws Divergence when an entry at or below `applied` belongs to another history
 * @throws Gap when the rest does not follow `applied` without a hole, or terms fall
 */
export function countApplied(applied: LogPosition, entries: readonly CommittedEntry[]): number {
  let skipped = 0
  let previous: LogPosition | null = null
  for (const { position } of entries) {
    if (previous === null && position.index > applied.index) previous = applied
    if (previous !== null) follow(previous, position)
    if (position.index <= applied.index) {
      compare(applied, position)
      skipped += 1
    }
    previous = position
  }
  return skipped
}

function follow(previous: LogPosition, next: LogPosition): void {
  if (next.index !== previous.index + 1 || next.term < previous.term) {
    throw new Gap(`${show(next)} does not follow ${show(previous)}`)
  }
}

function compare(applied: LogPosition, position: LogPosition): void {
  const same = position.index < applied.index || position.term === applied.term
  if (!same || position.term > applied.term) {
    throw new Divergence(
      `${show(position)} is of another history than the applied ${show(applied)}`,
    )
  }
}

function show(position: LogPosition): string {
  return `(${position.index}, term ${position.term})`
}
