import { join, relative, sep } from 'node:path'
import type { Clock } from '../clock/clock.ts'
import { type AskAgent, askPlainly } from '../http/ask-agent.ts'
import { leaveCluster } from '../http/leave-client.ts'
import { type Disk, systemDisk } from '../log/disk.ts'
import { LogRefusal } from '../log/log-store.ts'
import { MachineDamaged, type StateMachine } from '../machine/state-machine.ts'
import type { Logger } from '../node/logger.ts'
import { decodeConfiguration, NO_CONFIGURATION } from '../raft/configuration.ts'
import { asNodeId, type Identity } from '../raft/types.ts'
import { QUARANTINE, readMarked } from './quarantine-file.ts'
import { type Acquaintances, REJOIN, type Rejoin, wayBack } from './rejoin.ts'
import { DAMAGED, damagedName, finishSetAside, type SetAside, setAside } from './set-aside.ts'

/** So often a disk is mended, until somebody has looked at it. */
const KEPT_MAX = 10
const FULL = `${KEPT_MAX} repairs lie in ${DAMAGED}/: look at this disk, and remove what you have seen`
const SNAPSHOTS = 'snapshots'
const LOG = 'log'
/** Names in a data directory that tell nothing of the past. */
const HARMLESS = /^(?:damaged|repair\.json(?:\.tmp)?|lost\+found|flight-.*|.*\.lock)$/

/** Where everything is. */
export interface RepairPlace {
  readonly dataDir: string
  readonly logDir: string
  /** how the names of the machine's files begin: see `machineFilesIn` */
  readonly machineFiles: () => Promise<string>
  /** names in the data directory that are not the node's: its configuration, sockets */
  readonly foreign: readonly string[]
}

export interface RepairOptions {
  readonly place: RepairPlace
  /** `never`: what is damaged is refused, and left as it is */
  readonly policy: 'auto' | 'never'
  readonly known: Omit<Acquaintances, 'configuration'>
  readonly clock: Clock
  readonly log: Logger
  /** Default: on the operators' port. */
  readonly ask?: AskAgent
  readonly disk?: Disk
}

/** What of a node that could not start has to do with its repair. */
export interface Unstarted {
  readonly identity: Identity
  /** closed */
  readonly machine: Pick<StateMachine<never, unknown>, 'open' | 'close'>
}

/**
 * Mends a node's own disk by giving up what is damaged and fetching it from the others again; nothing is ever cut or
 * deleted. A damaged machine costs no promise: log and vote stay. With a damaged log the promises are gone, so the
 * node comes back as a new member, once the cluster has removed what it was.
 */
export class Repair {
  readonly #options: RepairOptions
  readonly #disk: Disk
  /** each once: what is damaged again at once is no rot of a disk */
  readonly #done = new Set<'machine' | 'log'>()

  constructor(options: RepairOptions) {
    this.#options = options
    this.#disk = options.disk ?? systemDisk
  }

  /**
   * Before anything is opened: finishes what was begun, and gives up a machine that is known to be wrong.
   * @throws LogRefusal when it is damaged, and nothing is to be repaired
   */
  async before(): Promise<void> {
    const { policy, place, log } = this.#options
    if (await finishSetAside(this.#disk, place.dataDir))
      log.info({}, 'a repair was cut short, and is finished now')
    const marked = await readMarked(this.#disk, place.dataDir)
    if (marked === null) return
    const full = await this.#isFull()
    if (policy === 'auto' && !full)
      await this.#machine(marked.kind === 'differs' ? 'differs' : 'damaged')
    else if (marked.kind === 'damaged') {
      const why = full ? FULL : 'With "repair": "never" it is left as it is'
      const words = `${marked.problem}. ${why}: move ${await place.machineFiles()}* and ${QUARANTINE} out of ${place.dataDir}, and the node fetches what it held from the others`
      throw new LogRefusal('damage', words)
    }
  }

  /** After a start that failed, everything closed: returns when it may be tried again. @throws `error` if it may not */
  async after(error: unknown, unstarted: Unstarted): Promise<void> {
    const damage = damageOf(error)
    if (damage === null || this.#options.policy === 'never' || this.#done.has(damage)) throw error
    this.#options.log.error({ err: error }, `the ${damage} is damaged: ${String(error)}`)
    if (await this.#isFull()) throw new Error(`${String(error)}. ${FULL}`, { cause: error })
    if (damage === 'machine') await this.#machine('damaged')
    else await this.#log(error, unstarted)
    this.#done.add(damage)
  }

  async #machine(why: 'damaged' | 'differs'): Promise<void> {
    const { dataDir, machineFiles } = this.#options.place
    const to = this.#target(dataDir, `machine-${why}`)
    const begin = await machineFiles()
    const there = await this.#disk.list(dataDir)
    const names = there.filter(name => name === QUARANTINE || isOfMachine(name, begin))
    const moves = [{ from: dataDir, to, names }]
    // Snapshots have checksums of their own, but were made of what it held.
    if (why === 'differs') moves.push(...(await this.#ownSnapshots(to)))
    await setAside(this.#disk, dataDir, { moves, note: null })
    const line = `what the machine held is fetched again, from the log or from the leader; its files are in ${to}`
    this.#options.log.warn({ names }, line)
  }

  async #ownSnapshots(to: string): Promise<SetAside['moves']> {
    const from = join(this.#options.place.dataDir, SNAPSHOTS)
    const there = await this.#disk.list(from).catch(() => [])
    // What is being received is the leader's.
    const names = there.filter(name => !name.startsWith('staging'))
    return names.length === 0 ? [] : [{ from, to: join(to, SNAPSHOTS), names }]
  }

  async #log(error: unknown, { identity, machine }: Unstarted): Promise<void> {
    const { known, clock, log, ask = askPlainly } = this.#options
    const configuration = await configurationIn(machine, identity)
    const { via, voter } = wayBack({ ...known, configuration })
    if (via.length === 0) {
      log.error({}, 'no other member is known that this node could come back to')
      throw error
    }
    const line =
      'what this node has promised is lost with its log: it asks the others to remove it, and joins again as a new ' +
      'member; until a majority has agreed nothing here is touched'
    log.warn({ via, incarnation: identity.incarnation }, line)
    const { nodeId, incarnation } = identity
    await leaveCluster({ id: asNodeId(nodeId), incarnation, via, clock, log, ask })
    const since = new Date(clock.wallMs()).toISOString()
    await this.#everything({ via: [...via], voter, former: incarnation, since })
  }

  async #everything(rejoin: Rejoin): Promise<void> {
    const { dataDir, logDir, foreign } = this.#options.place
    const to = this.#target(dataDir, 'log-damaged')
    const [top = ''] = relative(dataDir, logDir).split(sep)
    const moves: SetAside['moves'] = []
    if (logDir !== dataDir) {
      // Where the log is elsewhere, so is the place for it: another disk, perhaps.
      const logTo = top === '..' ? this.#target(logDir, 'log-damaged') : join(to, LOG)
      moves.push({ from: logDir, to: logTo, names: await this.#namesIn(logDir) })
    }
    const stays = new Set([top, ...foreign])
    const names = (await this.#namesIn(dataDir)).filter(name => !stays.has(name))
    moves.push({ from: dataDir, to, names })
    const note = { name: REJOIN, text: JSON.stringify(rejoin) }
    await setAside(this.#disk, dataDir, { moves, note })
    const line = `the cluster has removed what this node was; it joins again, and its former files are in ${to}`
    this.#options.log.warn({ names }, line)
  }

  async #isFull(): Promise<boolean> {
    const kept = await this.#disk.list(join(this.#options.place.dataDir, DAMAGED)).catch(() => [])
    return kept.length >= KEPT_MAX
  }

  async #namesIn(directory: string): Promise<string[]> {
    return (await this.#disk.list(directory)).filter(name => !HARMLESS.test(name))
  }

  #target(directory: string, why: string): string {
    return join(directory, DAMAGED, damagedName(this.#options.clock.wallMs(), why))
  }
}

/** A module may have any name. */
const RESERVED = ['log', 'snapshots', 'machine', 'damaged', 'identity.json', 'peers.json', REJOIN]

function isOfMachine(name: string, begin: string): boolean {
  if (!name.startsWith(begin) || name.endsWith('.lock') || RESERVED.includes(name)) return false
  return ['', '.', '-'].includes(name.slice(begin.length, begin.length + 1))
}

/** What in the disk's files is not what was written; null: that is not what went wrong. */
export function damageOf(error: unknown): 'machine' | 'log' | null {
  if (error instanceof MachineDamaged) return 'machine'
  if (error instanceof LogRefusal) return error.reason === 'damage' ? 'log' : null
  return error instanceof Error && error.cause !== undefined ? damageOf(error.cause) : null
}

/** None where the machine cannot tell either. */
async function configurationIn(machine: Unstarted['machine'], identity: Identity) {
  try {
    const { configuration } = await machine.open(identity)
    return decodeConfiguration(configuration)
  } catch {
    return NO_CONFIGURATION
  } finally {
    await machine.close()
  }
}
