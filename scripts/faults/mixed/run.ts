/** Everything at once: a cluster on hosts of its own, clients on all its gateways, faults of every kind, and what is promised. */

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startCluster } from '../../../agent/test/cluster/harness.ts'
import { Chance } from '../../../agent/test/simulation/chance.ts'
import { buildOf, useBuild } from '../../lib/builds.ts'
import { DEFAULT_SHAPE, type NodePlace, nodePlace, ROOT, type Shape } from '../../lib/layout.ts'
import { certificateDirectory } from '../../lib/peers.ts'
import { Disks } from '../disks.ts'
import { keptRun, type Stage } from '../kept-run.ts'
import { type Abilities, findAbilities } from './abilities.ts'
import { Agents } from './agents.ts'
import { Bank } from './bank.ts'
import { Certificates } from './certificates.ts'
import type { Scene } from './clients.ts'
import { Counters } from './counters.ts'
import { diskOf } from './disk-places.ts'
import { Clocks, Field } from './field.ts'
import { checkDatabases, checkLinearizable, checkLogs, converge, lastReads } from './final.ts'
import { repairMembers } from './kinds/members.ts'
import { Locks } from './locks.ts'
import { type KindName, Nemesis } from './nemesis.ts'
import { Ledger } from './record.ts'
import { Registers } from './registers.ts'
import { type Compared, compared, grown, usages } from './resources.ts'
import { Sets } from './sets.ts'
import { Watches } from './watches.ts'

const NETWORK = '10.77.0'
/** Snapshots every few hundred entries, and so little log behind them that a short absence needs one. */
const SETTINGS = {
  election_timeout_ms: 700,
  heartbeat_interval_ms: 70,
  commit_timeout_ms: 3_000,
  check_interval_sec: 5,
  snapshot: { snapshot_interval_sec: 1, snapshot_threshold: 300, retain_snapshots: 1 },
  log: { trailing_logs: 150 },
}
/** For agents that do not wait for their disks. */
const FORGETFUL = fileURLToPath(new URL('../forgetful.cjs', import.meta.url))
const PLANTED = { NODE_OPTIONS: `--require=${FORGETFUL}` }
const READY_MS = 30_000
const CERTIFICATE_AGE_DAYS = 30
/** Before the first fault and after the last one. */
const CALM_MS = 2_000

export interface MixedOptions {
  readonly minutes: number
  readonly seed: number
  readonly nodes: number
  /** faults of these kinds only; null: all */
  readonly only: readonly KindName[] | null
  /** how agents know each other */
  readonly peers: Shape['peers']
  /** root of another build: all nodes begin with it, and are upgraded to this one; null: no upgrades */
  readonly from: string | null
  /** plants a fault that has to be found: agents do not wait for their disk */
  readonly planted: boolean
  /** history, data and logs stay also where nothing was violated */
  readonly keep: boolean
  readonly say: (line: string) => void
  readonly signal: AbortSignal | null
}

export interface MixedReport {
  readonly seed: number
  readonly minutes: number
  readonly operations: number
  readonly ok: number
  readonly unknown: number
  readonly refused: number
  readonly faults: Readonly<Record<string, number>>
  readonly violations: number
  /** kinds of faults that could not be made, and why */
  readonly notTried: readonly string[]
  readonly longestWithoutWriteMs: number
  /** in quiet times: from when the last fault was healed until somebody led, at most */
  readonly calmWithoutLeaderMs: number
  readonly nodes: number
  readonly peers: Shape['peers']
  /** how many nodes still had the other build in the end */
  readonly notUpgraded: number
  /** memory and files of each agent and nginx: at first, and in the end */
  readonly resources: Compared
  /** whether each node had a network of its own */
  readonly hosts: boolean
  readonly statuses: Readonly<Record<string, number>>
  /** changes that watchers were told, locks that were acquired, databases that were checked */
  readonly events: number
  readonly acquisitions: number
  readonly databases: number
  /** agents that ended by themselves where that was right: how, and how often */
  readonly endings: Readonly<Record<string, number>>
  readonly seconds: number
  /** what was violated, in words */
  readonly why: readonly string[]
  /** history, data and logs, kept where something was violated */
  readonly directory: string | null
}

/** @throws Error when it is interrupted; the rest is in the report */
export async function runMixed(options: MixedOptions): Promise<MixedReport> {
  const open = (stage: Stage) => new Play(options, stage)
  const { book: play, seconds, directory } = await keptRun(options, open, (_, play) => play.run())
  const { ledger } = play
  const { minutes, seed, nodes, peers } = options
  return {
    ...{ seed, minutes, ...ledger.counts },
    ...play.told(),
    violations: ledger.violationCount,
    longestWithoutWriteMs: Math.round(ledger.longestWithoutWriteMs),
    nodes,
    peers,
    statuses: Object.fromEntries(ledger.statuses),
    seconds,
    why: ledger.violations,
    directory,
  }
}

class Play {
  readonly ledger: Ledger
  readonly #options: MixedOptions
  readonly #stage: Stage
  #abilities: Abilities | null = null
  #nemesis: Nemesis | null = null
  #agents: Agents | null = null
  #crowd: Crowd | null = null
  #databases = 0
  #resources: Compared = {}

  constructor(options: MixedOptions, stage: Stage) {
    this.#options = options
    this.#stage = stage
    const ledger = new Ledger(join(stage.directory, 'history.jsonl'))
    stage.lifetime.teardown(() => ledger.flush())
    this.ledger = ledger
  }

  get violationCount(): number {
    return this.ledger.violationCount
  }

  violation(text: string): void {
    this.ledger.violation(text)
  }

  async run(): Promise<void> {
    const { seed, only, say, signal, minutes } = this.#options
    const { ledger } = this
    const { lifetime } = this.#stage
    const abilities = await findAbilities(NETWORK, this.#options)
    this.#abilities = abilities
    for (const text of abilities.notTried) say(`not tried: ${text}`)
    const field = await this.#lay(abilities)
    const { agents } = field
    const { cluster } = agents
    const crowd: Crowd = new Crowd({
      ...{ seed, ledger },
      gateways: () => cluster.gateways,
      isOver: () => crowd.isOver,
      disksFailed: since => field.disksFailed(since),
    })
    this.#crowd = crowd
    lifetime.teardown(() => crowd.end())
    const before = usages(cluster.nodes)
    await crowd.begin()
    const nemesis = new Nemesis({ field, abilities: abilities.able, only, seed })
    this.#nemesis = nemesis
    await sleep(CALM_MS)
    await nemesis.rage(minutes * 60_000, signal)
    await repairMembers(field)
    await sleep(CALM_MS)
    await crowd.end()
    await agents.look()
    const shown = await converge(cluster, ledger)
    say('converged; checking')
    crowd.check(shown)
    const { after, beyond } = await grown(cluster.nodes, before)
    for (const text of beyond) ledger.violation(text)
    this.#resources = compared(before, after)
    await this.#checkFiles(agents)
  }

  told() {
    return {
      faults: Object.fromEntries(this.#nemesis?.counts ?? []),
      notTried: this.#abilities?.notTried ?? [],
      calmWithoutLeaderMs: Math.round(this.#nemesis?.leaderlessMs ?? 0),
      hosts: (this.#abilities?.hosts ?? null) !== null,
      events: this.#crowd?.watches.events ?? 0,
      acquisitions: this.#crowd?.locks.held ?? 0,
      databases: this.#databases,
      resources: this.#resources,
      notUpgraded: (this.#agents?.cluster.nodes ?? []).filter(node => buildOf(node) !== ROOT)
        .length,
      endings: Object.fromEntries(this.#agents?.endings ?? []),
    }
  }

  /** Hosts, disks and agents, all of them ready. */
  async #lay({ hosts, able }: Abilities): Promise<Field> {
    const { nodes, seed, peers, from } = this.#options
    const { ledger } = this
    const { directory, lifetime } = this.#stage
    const shape: Partial<Shape> = {
      nodes,
      writeMode: 'mixed',
      network: hosts === null ? null : NETWORK,
      peers,
    }
    // One more than there are may come.
    const places = Array.from({ length: nodes + 1 }, (_, at) =>
      nodePlace(directory, { ...DEFAULT_SHAPE, ...shape }, at),
    )
    for (const [at, { id }] of places.entries()) await hosts?.add(id, at + 1)
    const disks = able.has('disks') ? await Disks.make(places.map(diskOf)) : null
    lifetime.teardown(() => disks?.close())
    const clocks = able.has('clocks') ? Clocks.find(directory) : null
    if (from !== null) for (const place of places) useBuild(place, from)
    const certificates = able.has('certificates')
      ? await certificatesFor(directory, { ids: places.map(({ id }) => id), clocks })
      : null
    const cluster = await startCluster(lifetime, shape, SETTINGS, directory)
    const agents = new Agents({
      cluster,
      env: node => ({ ...clocks?.env(node), ...(this.#options.planted ? PLANTED : {}) }),
      onStarted: id => ledger.startedAnew(id),
      onViolation: text => ledger.violation(text),
    })
    this.#agents = agents
    await startAnew(agents, cluster.nodes)
    const chance = new Chance(seed, 'field')
    return new Field({
      ...{ agents, ledger, chance, hosts, disks, clocks, certificates },
      settings: SETTINGS,
      tell: what => {
        ledger.line({ nemesis: what })
        this.#options.say(what)
      },
      spare: nodes,
    })
  }

  async #checkFiles({ cluster }: Agents): Promise<void> {
    const { ledger } = this
    for (const node of cluster.nodes) await this.#agents?.stop(node)
    this.#databases = checkDatabases(cluster.nodes, ledger)
    checkLogs(cluster.nodes, ledger)
  }
}

/** Of the past, so that no agent whose clock is put back finds them too young. */
function certificatesFor(
  directory: string,
  { ids, clocks }: { readonly ids: readonly string[]; readonly clocks: Clocks | null },
): Promise<Certificates> {
  const shape: Shape = { ...DEFAULT_SHAPE, peers: 'tls' }
  const place = certificateDirectory({ directory, shape })
  const env = clocks?.inThePast(CERTIFICATE_AGE_DAYS) ?? {}
  return Certificates.make({ place, cluster: shape.clusterName, ids, env })
}

/** So that each has a clock of its own, and how it ends is known. */
async function startAnew(agents: Agents, nodes: readonly NodePlace[]): Promise<void> {
  await Promise.all(nodes.map(node => agents.stop(node)))
  await Promise.all(nodes.map(node => agents.start(node)))
  const ready = await Promise.all(nodes.map(node => agents.becomesReady(node, READY_MS)))
  if (ready.includes(false)) throw new Error('the agents do not become ready')
}

/** All clients. */
class Crowd {
  readonly #scene: Scene
  readonly #registers: Registers
  readonly #counters: Counters
  readonly #sets: Sets
  readonly #bank: Bank
  readonly locks: Locks
  readonly watches: Watches
  #running: readonly Promise<void>[] = []
  isOver = false

  constructor(scene: Scene) {
    this.#scene = scene
    this.#registers = new Registers(scene)
    this.#counters = new Counters(scene)
    this.#sets = new Sets(scene)
    this.#bank = new Bank(scene)
    this.locks = new Locks(scene)
    this.watches = new Watches(scene)
  }

  async begin(): Promise<void> {
    await this.#bank.open()
    const all = [this.#registers, this.#counters, this.#sets, this.#bank, this.locks, this.watches]
    this.#running = all.flatMap(each => each.start())
    for (const run of this.#running) {
      run.catch(error => this.#scene.ledger.violation(`a client: ${error?.stack ?? error}`))
    }
  }

  /** Once each has had its last answer. */
  async end(): Promise<void> {
    this.isOver = true
    this.#scene.ledger.clientsLeave()
    this.watches.close()
    await Promise.allSettled(this.#running)
  }

  check(shown: Parameters<typeof lastReads>[0]): void {
    const { ledger } = this.#scene
    const keys = [...this.#registers.keys, ...Counters.keys]
    checkLinearizable(ledger, [...ledger.operations, ...lastReads(shown, keys)])
    for (const { node, rows } of shown) {
      const byKey = new Map(rows.map(row => [row.Key, row]))
      this.#counters.check(node.id, key => textOf(byKey, key))
      this.#sets.check(node.id, new Set(byKey.keys()))
      this.#bank.check(
        node.id,
        rows.filter(({ Key }) => Key.startsWith('bank/')),
      )
      this.locks.checkTokens(node.id, rows)
    }
    this.locks.check()
    this.watches.check()
  }
}

function textOf(rows: ReadonlyMap<string, { readonly Value: string | null }>, key: string) {
  const row = rows.get(key)
  return row === undefined ? null : Buffer.from(row.Value ?? '', 'base64').toString()
}
