import { LogRefusal, type LogState } from '../log/log-store.ts'
import type { LogIndex, LogPosition, Term } from '../raft/types.ts'

/**
 * Compares what the log and the machine hold, before anything is served. Whatever does not fit is a
 * lost, foreign or cloned disk: the node must not start, and nothing is "cleaned".
 * @throws LogRefusal in words for the operator
 */
export function checkRecovered({ last, borders, hardState }: LogState, applied: LogPosition): void {
  const refuse = (what: string): never => {
    throw new LogRefusal(
      `${what}. The files are kept as they are: restore this node's data directory from its own disk, ` +
        'or wipe it and let the node join again as a new member.',
    )
  }
  if (hardState.term < last.term || hardState.term < applied.term) {
    refuse(
      `the saved term ${hardState.term} is behind the log (${last.term}) or the machine (${applied.term})`,
    )
  }
  if (hardState.commit > last.index) {
    refuse(`entries up to ${hardState.commit} were committed, but the log ends at ${last.index}`)
  }
  if (applied.index > last.index) {
    refuse(`the machine holds entry ${applied.index}, but the log ends at ${last.index}`)
  }
  const term = termAt(borders, applied.index)
  if (applied.index > 0 && term !== applied.term) {
    refuse(
      `entry ${applied.index} has term ${applied.term} in the machine and term ${term} in the log`,
    )
  }
}

function termAt(borders: LogState['borders'], index: LogIndex): Term | null {
  return borders.findLast(border => border.first <= index)?.term ?? null
}
