import { createHash } from 'node:crypto'
import { type Configuration, NO_CONFIGURATION } from '../../src/raft/configuration.ts'
import type { Effect } from '../../src/raft/effect.ts'
import type { Input } from '../../src/raft/input.ts'
import { DEFAULT_LIMITS } from '../../src/raft/state.ts'
import { asNodeId } from '../../src/raft/types.ts'
import { configurationOf } from '../raft/harness.ts'
import { Chance } from './chance.ts'
import { Clients } from './clients.ts'
import { Coverage } from './coverage.ts'
import { incarnationOf } from './disks.ts'
import { Histories } from './history.ts'
import { Invariants } from './invariants.ts'
import { Liveness } from './liveness.ts'
import { Memberships } from './memberships.ts'
import { Nemesis } from './nemesis.ts'
import { type Letter, SimulatedNetwork } from './network.ts'
import { SimulatedNode } from './node.ts'
import { Operators } from './operators.ts'
import { Scheduler } from './scheduler.ts'
import { Snapshots } from './snapshots.ts'
import { nodeText } from './table.ts'
import { Tally } from './tally.ts'
import { must } from './violation.ts'
import { drawWeather, ELECTION_TICKS, HEARTBEAT_TICKS, type Weather } from './weather.ts'
import type { Witness } from './witness.ts'

/** A reply that triggers a resend could multiply: no weather needs as many events as this. */
const EVENTS_MAX = 400_000

export interface Outcome {
  readonly seed: number
  readonly events: number
  /** over all events: equal seeds give equal hashes */
  readonly hash: string
  /** null: every promise was kept */
  readonly violation: string | null
  /** each node as the run left it, a line each */
  readonly nodes: readonly string[]
  readonly faults: Tally
  readonly reached: Tally
}

/** One input of one node, and what its core asked for. */
export interface TraceEvent {
  readonly time: number
  readonly node: SimulatedNode
  readonly input: Input
  readonly effects: readonly Effect[]
}

export type Trace = (event: TraceEvent) => void

/** All that a run depends on. */
export interface Scenario {
  readonly seed: number
  readonly weather: Weather
}

/** Runs one seed to its end, or to the first broken promise. */
export function simulate(seed: number, nodes: number | null = null): Outcome {
  return play({ seed, weather: drawWeather(seed, nodes) })
}

/** @param trace is told every event */
export function play({ seed, weather }: Scenario, trace: Trace | null = null): Outcome {
  const world = new World({ seed, weather }, trace)
  let violation: string | null = null
  try {
    world.run()
  } catch (error) {
    violation = `tick ${world.now}, event ${world.events}: ${error instanceof Error ? error.message : error}`
  }
  const { events, faults, reached } = world
  return { seed, events, hash: world.hash(), violation, nodes: world.nodes(), faults, reached }
}

/** Voters first, then those who wait to be added. */
const NAMES = [...'abcdefghij'].map(asNodeId)

/** All parts of one run, on one simulated time. */
class World {
  readonly faults = new Tally()
  readonly reached = new Tally()
  events = 0
  readonly #weather: Weather
  readonly #trace: Trace | null
  readonly #scheduler = new Scheduler()
  readonly #nodes: readonly SimulatedNode[]
  readonly #network: SimulatedNetwork
  readonly #invariants: Invariants
  readonly #clients: Clients
  readonly #nemesis: Nemesis
  readonly #operators: Operators
  readonly #coverage: Coverage
  readonly #liveness: Liveness
  readonly #snapshots = new Snapshots()
  /** requests that are not those of clients have negative ids */
  #nextId = -1
  readonly #hash = createHash('sha256')

  constructor({ seed, weather }: Scenario, trace: Trace | null) {
    this.#trace = trace
    const chance = (concern: string): Chance => new Chance(seed, concern)
    const scheduler = this.#scheduler
    const faults = this.faults
    this.#weather = weather
    this.#coverage = new Coverage(this.reached)
    this.#network = new SimulatedNetwork({
      weather: weather.network,
      chance: chance('network'),
      scheduler,
      faults,
      deliver: letter => this.#node(letter.message.to).receive(letter),
      unreachable: (from, peer) =>
        scheduler.after(0, () => this.#node(from).step({ kind: 'unreachable', peer })),
    })
    const histories = new Histories()
    const voters = NAMES.slice(0, weather.nodes)
    const first = configurationOf(voters)
    this.#nodes = this.#createNodes(seed, first, histories)
    const memberships = new Memberships(this.#nodes, first)
    this.#invariants = new Invariants(this.#nodes, histories, memberships)
    this.#clients = new Clients({
      nodes: this.#nodes,
      chance: chance('clients'),
      weather: weather.clients,
      reached: this.reached,
      commit: () => this.#invariants.commit,
    })
    this.#nemesis = new Nemesis({
      weather,
      chance: chance('nemesis'),
      transfers: chance('transfers'),
      pauses: chance('pauses'),
      damage: chance('nemesis of disks and paths'),
      scheduler,
      network: this.#network,
      nodes: this.#nodes,
      memberships,
      faults,
    })
    this.#operators = new Operators({
      weather: weather.membership,
      chance: chance('operators'),
      nodes: this.#nodes,
      memberships,
      nextId: () => this.#nextId--,
      faults,
    })
    this.#liveness = new Liveness({
      nodes: this.#nodes,
      chance: chance('liveness'),
      network: this.#network,
      clients: this.#clients,
      invariants: this.#invariants,
      memberships,
      identified: weather.membership.identify,
      reached: this.reached,
      check: leader => leader.step({ kind: 'propose-check', id: this.#nextId-- }),
      tick: () => this.#tick(),
    })
  }

  get now(): number {
    return this.#scheduler.now
  }

  hash(): string {
    return this.#hash.copy().digest('hex').slice(0, 16)
  }

  nodes(): string[] {
    return this.#nodes.map(nodeText)
  }

  /** Storm, then calm: whatever happened before, a whole and quiet cluster has to get well. */
  run(): void {
    for (let tick = 0; tick < this.#weather.ticks; tick++) {
      this.#nemesis.tick()
      this.#operators.tick()
      this.#clients.tick()
      this.#tick()
    }
    this.#nemesis.calm()
    for (const node of this.#nodes) node.calm()
    this.#liveness.check(nodes => this.#nemesis.restore(nodes))
  }

  #createNodes(seed: number, first: Configuration, histories: Histories): SimulatedNode[] {
    const weather = this.#weather
    const met = new Map(first.members.map(({ id }) => [id, incarnationOf(id, 0)]))
    const names = NAMES.slice(0, weather.nodes + weather.membership.spares)
    return names.map(
      (id, at) =>
        new SimulatedNode({
          options: {
            ...DEFAULT_LIMITS,
            ...weather.limits,
            id,
            incarnation: incarnationOf(id, 0),
            founder: at < weather.nodes,
            seed,
            electionTicks: ELECTION_TICKS,
            heartbeatTicks: HEARTBEAT_TICKS,
          },
          first: at < weather.nodes ? first : NO_CONFIGURATION,
          met: at < weather.nodes ? met : new Map(),
          weather,
          chance: new Chance(seed, `node ${id}`),
          clock: new Chance(seed, `clock ${id}`),
          damage: new Chance(seed, `damage ${id}`),
          scheduler: this.#scheduler,
          faults: this.faults,
          reached: this.reached,
          histories,
          snapshots: this.#snapshots,
          witness: this.#witness(),
          send: letter => this.#send(letter),
          incarnationOf: peer => this.#node(peer).incarnation,
          nextId: () => this.#nextId--,
        }),
    )
  }

  /** Two nodes whose peers know them as others neither campaign nor vote: they could found the cluster anew. */
  #send(letter: Letter): void {
    const { from, to } = letter.message
    if (this.#node(from).lost && this.#node(to).lost) return
    this.#network.send(letter)
  }

  #witness(): Witness {
    return {
      stepped: (node, input, effects) => this.#stepped(node, input, effects),
      started: (node, effects) => this.#nemesis.afterIssue(node, effects),
      leaves: (node, message) => this.#invariants.leaves(node, message),
      applied: (node, entry) => {
        this.#invariants.applied(node, entry)
        this.#clients.applied(entry)
      },
      restored: node => this.#invariants.restored(node),
      accepted: ids => this.reached.add('write accepted', ids.length),
      rejected: ({ ids }) => this.#clients.refused(ids.filter(id => id >= 0)),
      settled: settled => {
        if (settled.mine) this.#invariants.answered(settled.entry)
        if (settled.id >= 0) this.#clients.settled(settled)
      },
      readable: readable => this.#clients.readable(readable),
      crashesAt: node => this.#nemesis.crashesAtCompletion(node),
      stopped: node => this.#nemesis.restartLater(node),
    }
  }

  #stepped(node: SimulatedNode, input: Input, effects: readonly Effect[]): void {
    this.events++
    must(this.events < EVENTS_MAX, 'storm: messages multiply')
    const { term, commit } = node.raft.state
    const { last } = node.raft
    const what = input.kind === 'receive' ? input.message.kind : input.kind
    this.#hash.update(
      `${this.now} ${node.id}${node.boot} ${what} ${term} ${commit} ${last.index}@${last.term} ${effects.length}\n`,
    )
    this.#trace?.({ time: this.now, node, input, effects })
    this.#invariants.stepped(node, input, effects)
    this.#coverage.stepped(node, input, effects)
  }

  #tick(): void {
    for (const node of this.#nodes) {
      // A wiped founder of a cluster of one would found it anew.
      if (!node.lost || this.#weather.nodes > 1) node.tick()
    }
    this.#scheduler.advance()
  }

  #node(id: string): SimulatedNode {
    const node = this.#nodes.find(each => each.id === id)
    must(node !== undefined, `there is a node ${id}`)
    return node
  }
}
