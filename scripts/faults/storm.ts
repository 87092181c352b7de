/** What is done to the agents of a cluster, drawn from a seed. One round after the other. */

import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Prng } from '../../agent/src/lib/prng.ts'
import {
  FAULT_POINTS,
  type FaultPoint,
  type PlannedCrash,
} from '../../agent/src/node/fault-points.ts'
import { agentPid, agentStatus } from '../lib/agent-server.ts'
import { agentUrl, type NodePlace } from '../lib/layout.ts'
import { wipe } from '../lib/operations.ts'
import { probe } from '../lib/probe.ts'
import type { Fleet } from './fleet.ts'
import type { Subject } from './subjects.ts'
import type { Tally } from './tally.ts'

const POLL_MS = 20
/** Without an answer to anybody for so long, though all agents run, the cluster is stuck. */
const STUCK_MS = 60_000
const PLANTED_STUCK_MS = 20_000
/** Increments after which whoever missed them needs a snapshot: more than is kept of the log. */
const LAG = 40
const LAG_MS = 6_000
/** For a node to come level, or to end itself on the way. */
const LEVEL_MS = 8_000
/** For an armed one to come by its point. */
const AMBUSH_MS = 4_000

/** What makes a node come by a point: its own work, being sent a snapshot, or sending one. */
type Place = 'anywhere' | 'receiver' | 'sender'

/** How often each kind of round is drawn, of the sum of all. */
const KILLS = {
  strike: 40,
  ambush: 24,
  laggard: 14,
  courier: 8,
  all: 6,
  'lost machine': 4,
  stop: 3,
  replace: 1,
}

export type RoundKind = keyof typeof KILLS
export type Weights = Readonly<Record<RoundKind, number>>

/** What one disk forgets the others still have: most is seen where all lose their power at once. No disk can be replaced. */
const POWER_CUTS: Weights = { ...KILLS, strike: 24, all: 40, stop: 1, replace: 0 }

/** With only one node there is nobody to catch up with. */
const ALONE: Partial<Weights> = { laggard: 0, courier: 0, 'lost machine': 0, replace: 0 }

export function weightsOf(cluster: { readonly nodes: number; readonly power: boolean }): Weights {
  const weights = cluster.power ? POWER_CUTS : KILLS
  return cluster.nodes === 1 ? { ...weights, ...ALONE } : weights
}

/** Rounds that bring a node to points of this kind soonest: without its machine's files it needs a snapshot at once. */
const ROUND_TO: Readonly<Record<Place, RoundKind>> = {
  anywhere: 'ambush',
  receiver: 'lost machine',
  sender: 'courier',
}

export interface StormOptions {
  readonly fleet: Fleet
  readonly subject: Subject
  readonly tally: Tally
  readonly prng: Prng
  /** of a node that is added */
  readonly settings: Readonly<Record<string, unknown>>
  readonly weights: Weights
  /** a fault is planted that leaves nobody who starts: it need not be waited for as long as for a slow machine */
  readonly planted: boolean
}

export class Storm {
  readonly #options: StormOptions
  /** how often each kind of round was played */
  readonly rounds = new Map<RoundKind, number>()
  /** a round has one aim, and leaves little to chance */
  #aims = false
  /** whose machine's files were lost, until it has another one */
  #refilling: NodePlace | null = null

  constructor(options: StormOptions) {
    this.#options = options
  }

  draw(): RoundKind {
    const rounds = Object.entries(this.#options.weights) as [RoundKind, number][]
    let left = this.#between(
      0,
      rounds.reduce((sum, [, weight]) => sum + weight, 0),
    )
    for (const [kind, weight] of rounds) {
      left -= weight
      if (left < 0) return kind
    }
    return 'strike'
  }

  /** As `play`, of the kind that brings somebody to a point that was reached least. */
  async seek(point: FaultPoint): Promise<void> {
    this.#aims = true
    await this.play(ROUND_TO[placeOf(point)])
    this.#aims = false
  }

  /** Plays one, then has everybody run again and somebody be answered. @throws Error when nobody is */
  async play(kind: RoundKind): Promise<void> {
    this.rounds.set(kind, (this.rounds.get(kind) ?? 0) + 1)
    await this.#rest(400)
    await this.#plays[kind]()
    await this.goesOn(this.#between(2, 12))
  }

  /** Starts who is down, until so many more increments are acknowledged. */
  async goesOn(by: number): Promise<void> {
    const { fleet, tally, planted } = this.#options
    const goal = tally.acknowledged + by
    const patience = planted ? PLANTED_STUCK_MS : STUCK_MS
    const stuck = performance.now() + patience
    do {
      for (const node of await fleet.down()) await fleet.start(node)
      if (performance.now() > stuck) throw new Error(`nothing acknowledged in ${patience} ms`)
      await sleep(POLL_MS)
    } while (tally.acknowledged < goal)
  }

  /** Nobody is armed any more, and everybody runs. */
  async calm(): Promise<void> {
    const { fleet } = this.#options
    await fleet.kill(fleet.armed)
    await this.goesOn(1)
  }

  readonly #plays: Readonly<Record<RoundKind, () => Promise<void>>> = {
    strike: () => this.#strike(),
    ambush: () => this.#ambush(),
    laggard: () => this.#laggard(),
    courier: () => this.#courier(),
    all: () => this.#all(),
    'lost machine': () => this.#loseMachine(),
    stop: () => this.#stop(),
    replace: () => this.#replace(),
  }

  /** One or two at any moment, the leader rather than another; back at once, soon, or far behind. */
  async #strike(): Promise<void> {
    const { fleet } = this.#options
    const first = await this.#victim()
    const both =
      this.#chance(12) && fleet.cluster.nodes.length > 1 ? [first, this.#other(first)] : [first]
    await fleet.kill(both, this.#chance(30) ? this.#between(0, 400) : 0)
    if (this.#chance(15) && fleet.running.length > 0) await this.#lag()
    else await this.#rest(this.#chance(50) ? 50 : 900)
    for (const node of both) await this.#restart(node, this.#chance(25) ? 'anywhere' : null)
  }

  /** Some are restarted, and each ends itself between two steps of its work. */
  async #ambush(): Promise<void> {
    const { fleet } = this.#options
    const first = await this.#victim()
    const others = fleet.cluster.nodes.filter(() => this.#aims || this.#chance(40))
    const nodes = [...new Set([first, ...others])]
    await fleet.kill(nodes)
    for (const node of nodes) await this.#restart(node, 'anywhere')
    await this.#until(() => nodes.every(node => agentPid(node) === null), AMBUSH_MS)
  }

  /** It needs a snapshot: it ends itself over that, or everybody is killed meanwhile. */
  async #laggard(): Promise<void> {
    const node = this.#other(await this.#victim())
    await this.#options.fleet.kill([node])
    await this.#lag()
    await this.#bringBack(node)
  }

  /** Whoever sends a snapshot ends itself over that: it is made the leader, and another one a laggard. */
  async #courier(): Promise<void> {
    const { fleet } = this.#options
    const courier = this.#any()
    await fleet.kill([courier])
    await this.#restart(courier, 'sender')
    await this.#until(async () => (await agentStatus(courier))?.ready === true, AMBUSH_MS)
    const body = JSON.stringify({ id: courier.id })
    await probe(`${agentUrl(courier)}/v1/cluster/leader`, { method: 'POST', body })
    const laggard = this.#other(courier)
    if (this.#aims || this.#chance(30)) await this.#killMachine(laggard)
    else {
      await fleet.kill([laggard])
      await this.#lag()
    }
    await this.#restart(laggard, null)
    await this.#until(
      async () => agentPid(courier) === null || (await this.#isLevel(laggard)),
      LEVEL_MS,
    )
  }

  async #all(): Promise<void> {
    const { fleet } = this.#options
    await fleet.kill(fleet.running, this.#chance(30) ? this.#between(0, 400) : 0)
    await this.#rest(100)
    for (const node of fleet.cluster.nodes) {
      await this.#restart(node, this.#chance(20) ? 'anywhere' : null)
    }
  }

  /** Its disk lost the machine's files, and has the log. */
  async #loseMachine(): Promise<void> {
    const node = await this.#victim()
    await this.#killMachine(node)
    if (!this.#aims && this.#chance(50)) await this.#lag()
    await this.#bringBack(node)
  }

  /**
   * Not in the middle of an install: then its machine's files are all that there is of the snapshot. And one at a
   * time: without the machines of a majority nobody may be left who has both the log and a machine, and could lead.
   */
  async #killMachine(node: NodePlace): Promise<void> {
    const whole = await this.#until(
      async () => (await this.#isRefilled()) && (await this.#isLevel(node)),
      LEVEL_MS,
    )
    await this.#options.fleet.kill([node])
    if (!whole) return
    this.#refilling = node
    const { dataDirectory } = node
    for (const name of readdirSync(dataDirectory)) {
      if (this.#options.subject.files.test(name)) rmSync(join(dataDirectory, name))
    }
  }

  async #stop(): Promise<void> {
    const { fleet } = this.#options
    const node = await this.#victim()
    await fleet.stop(node)
    await this.#restart(node, null)
  }

  /** Its disk is lost: it leaves, and comes back as a new one. */
  async #replace(): Promise<void> {
    const { fleet, settings } = this.#options
    // Nobody is to end itself while two of three have to agree.
    await this.calm()
    if (!(await this.#until(() => this.#isRefilled(), LEVEL_MS))) return
    const node = this.#any()
    await fleet.cluster.remove(node)
    await wipe(node)
    await fleet.cluster.add(node.id, { settings })
    fleet.forget(node)
  }

  /** Starts a node that needs a snapshot, maybe one that ends itself over it, maybe with a kill of all meanwhile. */
  async #bringBack(node: NodePlace): Promise<void> {
    const { fleet } = this.#options
    const killsAll = !this.#aims && this.#chance(25)
    const armed = this.#aims || (!killsAll && this.#chance(80))
    await this.#restart(node, armed ? 'receiver' : null)
    if (killsAll) {
      await this.#rest(900)
      await fleet.kill(fleet.running)
      return
    }
    await this.#until(async () => agentPid(node) === null || (await this.#isLevel(node)), LEVEL_MS)
  }

  /** Unless it runs, as after a round that began to start it. @param place null: it does not end itself */
  async #restart(node: NodePlace, place: Place | null): Promise<void> {
    const { fleet } = this.#options
    // Who ended itself meanwhile is counted first.
    const down = await fleet.down()
    if (down.includes(node)) await fleet.start(node, place === null ? null : this.#crash(place))
  }

  /** One of the points that were reached least, those counted for which another waits. */
  #crash(place: Place): PlannedCrash {
    const { reached, planned } = this.#options.fleet
    const times = (point: FaultPoint) =>
      (reached.get(point) ?? 0) + planned.filter(each => each === point).length
    const points = FAULT_POINTS.filter(point => placeOf(point) === place)
    const least = Math.min(...points.map(times))
    const rare = points.filter(point => times(point) === least)
    const point = rare[this.#between(0, rare.length)] ?? 'persist:after'
    const most = this.#aims ? 1 : timesMax(point)
    return { point, at: this.#between(1, most + 1) }
  }

  /** Whoever misses what happens now needs a snapshot, where the log is cut so soon. */
  async #lag(): Promise<void> {
    const { tally } = this.#options
    const goal = tally.acknowledged + LAG
    await this.#until(() => tally.acknowledged >= goal, LAG_MS)
  }

  /** Who has lost its machine last has another one. */
  async #isRefilled(): Promise<boolean> {
    if (this.#refilling !== null && !(await this.#isLevel(this.#refilling))) return false
    this.#refilling = null
    return true
  }

  async #isLevel(node: NodePlace): Promise<boolean> {
    const { ready, appliedIndex, commitIndex } = (await agentStatus(node)) ?? {}
    return ready === true && appliedIndex === commitIndex
  }

  /** The leader half of the time. */
  async #victim(): Promise<NodePlace> {
    const leader = this.#chance(50) ? await this.#options.fleet.leader() : null
    return leader ?? this.#any()
  }

  #any(): NodePlace {
    return this.#one(this.#options.fleet.cluster.nodes)
  }

  #other(than: NodePlace): NodePlace {
    return this.#one(this.#options.fleet.cluster.nodes.filter(node => node.id !== than.id))
  }

  #one(nodes: readonly NodePlace[]): NodePlace {
    const node = nodes[this.#between(0, nodes.length)]
    if (node === undefined) throw new Error('a cluster has nodes')
    return node
  }

  async #until(check: () => Promise<boolean> | boolean, withinMs: number): Promise<boolean> {
    const end = performance.now() + withinMs
    while (performance.now() < end) {
      if (await check()) return true
      await sleep(POLL_MS)
    }
    return false
  }

  async #rest(upToMs: number): Promise<void> {
    await sleep(this.#between(0, upToMs))
  }

  #chance(percent: number): boolean {
    return this.#between(0, 100) < percent
  }

  #between(from: number, to: number): number {
    return this.#options.prng.between(from, to)
  }
}

function placeOf(point: FaultPoint): Place {
  if (/^(snapshot|chunk:sent)/.test(point)) return 'sender'
  return /^(chunk|transfer|install)/.test(point) ? 'receiver' : 'anywhere'
}

/** Of these many times that it is come by, one is drawn: the first ones are a restart's own. */
function timesMax(point: FaultPoint): number {
  if (placeOf(point) === 'receiver') return 1
  return /^(persist|apply)/.test(point) ? 40 : 2
}
