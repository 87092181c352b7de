import { unreachable } from '../lib/assert.ts'
import { LogRefusal, type LogState } from '../log/log-store.ts'
import type { StoredSnapshot } from '../log/snapshot-store.ts'
import { type Applied, MachineDamaged } from '../machine/state-machine.ts'
import {
  type Configuration,
  decodeConfiguration,
  initialConfiguration,
} from '../raft/configuration.ts'
import { ORIGIN, type SnapshotHeader } from '../raft/types.ts'
import { restoreReceived, restoreStored } from './installer.ts'
import type { Logger } from './logger.ts'
import type { MemberAddress } from './node-api.ts'
import type { NodeOptions } from './node-options.ts'
import { decideRecovery, type Recovery, refusalOf } from './recovery-table.ts'

/** What the disks hold, once they agree: or the machine ends before the log begins, and needs a snapshot. */
export interface Recovered {
  readonly log: LogState
  readonly applied: Applied
}

/**
 * Opens log, snapshots and machine, and carries out what the table says until it says no more.
 * @throws LogRefusal when the files must not be used
 */
export async function recoverDisks(options: NodeOptions<never, unknown>): Promise<Recovered> {
  const { identity, log, machine, logger, snapshots } = options
  const { store } = snapshots
  const { marker } = await log.open(identity)
  await store.open(marker)
  let stored = store.newest()
  let applied = await openMachine(options, stored?.header ?? null)
  for (;;) {
    const state = log.state()
    const marked = state.marker === null ? null : await store.markedFile(state.marker)
    const recovery = decideRecovery({
      log: state,
      applied,
      stored: stored?.header ?? null,
      markedFile: marked !== null,
    })
    switch (recovery.kind) {
      case 'start':
        await store.dropStaged()
        return { log: state, applied }
      case 'refuse':
        throw refusalOf(recovery.why)
      case 'fetch':
        if (options.alone) throw nobodyHas(`the machine ends at ${applied.index}`, state)
        logger.warn(
          { applied: applied.index, base: state.base.index },
          'the machine ends before the log begins: a snapshot is asked of the leader',
        )
        return { log: state, applied }
      case 'finish-install':
        await finishInstall(options, recovery, marked)
        break
      case 'restore':
        // Whatever comes of it, it is tried once.
        if (stored !== null) await refill(options, stored)
        stored = null
        break
      default:
        unreachable(recovery)
    }
    applied = machine.applied()
  }
}

/** A damaged machine is reported as such only where what it held can be had again: its files are moved away then. */
async function openMachine(
  { identity, log, machine, alone }: NodeOptions<never, unknown>,
  stored: SnapshotHeader | null,
): Promise<Applied> {
  try {
    return await machine.open(identity)
  } catch (error) {
    if (!(alone && error instanceof MachineDamaged)) throw error
    const state = log.state()
    const next = decideRecovery({ log: state, applied: ORIGIN, stored, markedFile: true })
    throw next.kind === 'fetch' ? nobodyHas(error.message, state) : error
  }
}

/** For ever would be too long to wait for a leader that has it. */
function nobodyHas(problem: string, { base }: LogState): LogRefusal {
  return new LogRefusal(
    'lost',
    `${problem}; the log begins behind entry ${base.index}, and this node has no other member to fetch the rest ` +
      "from. The files are kept as they are: put back the machine's own (a repair moves them to damaged/), or make a " +
      'new cluster of a backup.',
  )
}

async function finishInstall(
  { log, machine, logger, snapshots, reach = () => {} }: NodeOptions<never, unknown>,
  { header, next }: Extract<Recovery, { kind: 'finish-install' }>,
  file: string | null,
): Promise<void> {
  const { store } = snapshots
  logger.info({ position: header.position, next }, 'an install was cut short, and is finished')
  if (next === 'restore' && file !== null) {
    await restoreReceived({ machine, store }, header, file)
    reach('install:restored')
    return
  }
  await log.reset(header)
  reach('install:reset')
}

async function refill(
  { machine, logger, snapshots }: NodeOptions<never, unknown>,
  stored: StoredSnapshot,
): Promise<void> {
  const { position } = stored.header
  try {
    await restoreStored({ machine, store: snapshots.store }, stored)
    logger.info({ position }, 'the machine was restored from a stored snapshot')
  } catch (error) {
    logger.warn({ err: error, position }, 'the stored snapshot cannot be used')
  }
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
