import { LogRefusal, type LogState } from '../log/log-store.ts'
import type { Applied } from '../machine/state-machine.ts'
import {
  type Configuration,
  decodeConfiguration,
  initialConfiguration,
} from '../raft/configuration.ts'
import type { LogIndex, LogPosition, Term } from '../raft/types.ts'
import type { Logger } from './logger.ts'
import type { MemberAddress } from './node-api.ts'

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

/**
 * The configuration that the machine stored with its data; before the first entry, and in data of an
 * earlier version, the founders.
 * @param founders null: this node waits to be added, or to be told
 * @throws DecodeError
 */
export function configurationAt(
  applied: Applied,
  founders: readonly MemberAddress[] | null,
  logger: Logger,
): Configuration {
  const stored = decodeConfiguration(applied.configuration)
  if (founders === null) return stored
  const initial = initialConfiguration(founders)
  if (stored.members.length === 0) return initial
  if (names(stored) !== names(initial)) {
    logger.info(
      { members: names(stored), nodes: names(initial) },
      'the members are those of the log: `nodes` of the configuration file only founded the cluster',
    )
  }
  return stored
}

function names({ members }: Configuration): string {
  return members.map(({ id }) => id).join(', ')
}
