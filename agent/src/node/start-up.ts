import type { Configuration } from '../raft/configuration.ts'
import { Raft } from '../raft/raft.ts'
import { DEFAULT_LIMITS } from '../raft/state.ts'
import type { NodeOptions } from './node-options.ts'
import { configurationAt, recoverDisks } from './recovery.ts'

/** Ticks in a heartbeat interval: how finely election timeouts are spread. */
const TICKS_PER_HEARTBEAT = 5

/** What a node goes on from. */
export interface Recovered {
  readonly raft: Raft
  /** in force where the machine is */
  readonly configuration: Configuration
  /** Nothing of any cluster was on the disks. */
  readonly isFresh: boolean
}

/** How often the core is told that time passes. */
export function tickMsOf({ heartbeatIntervalMs }: NodeOptions<never, unknown>): number {
  return heartbeatIntervalMs / TICKS_PER_HEARTBEAT
}

/**
 * Opens log and machine, and makes the core of what they hold.
 * @throws LogRefusal when the files must not be used
 */
export async function recover(options: NodeOptions<never, unknown>): Promise<Recovered> {
  const { identity, founders, logger } = options
  const { log: found, applied } = await recoverDisks(options)
  const configuration = configurationAt(applied, founders, logger)
  const raft = new Raft(
    {
      ...DEFAULT_LIMITS,
      id: identity.nodeId,
      incarnation: identity.incarnation,
      founder: founders !== null,
      seed: options.seed,
      electionTicks: Math.round(options.electionTimeoutMs / tickMsOf(options)),
      heartbeatTicks: TICKS_PER_HEARTBEAT,
    },
    { ...found, applied, configuration },
  )
  const { index, term } = applied
  logger.info(
    {
      term: found.hardState.term,
      base: found.base,
      last: found.last,
      applied: { index, term },
      replays: found.last.index - index,
      members: configuration.members.map(({ id, role }) => `${id}: ${role}`),
    },
    'recovered',
  )
  return { raft, configuration, isFresh: index === 0 && found.last.index === 0 }
}
