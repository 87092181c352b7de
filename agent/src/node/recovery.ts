import type { Applied } from '../machine/state-machine.ts'
import {
  type Configuration,
  decodeConfiguration,
  initialConfiguration,
} from '../raft/configuration.ts'
import type { Logger } from './logger.ts'
import type { MemberAddress } from './node-api.ts'

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
