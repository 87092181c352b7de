import { createHash } from 'node:crypto'
import type { Effect } from '../../src/raft/effect.ts'
import type { Input } from '../../src/raft/input.ts'
import { DEFAULT_LIMITS } from '../../src/raft/state.ts'
import { asNodeId } from '../../src/raft/types.ts'
import { configurationOf } from '../raft/harness.ts'
import { Chance } from './chance.ts'
import { Clients } from './clients.ts'
import { Coverage } from './coverage.ts'
import { Histories } from './history.ts'
import { Invariants, must } from './invariants.ts'
import { Nemesis } from './nemesis.ts'
import { SimulatedNetwork } from './network.ts'
import { SimulatedNode, type Witness } from './node.ts'
import { Scheduler } from './scheduler.ts'
import { Tally } from './tally.ts'
import { drawWeather, ELECTION_TICKS, HEARTBEAT_TICKS, type Weather } from './weather.ts'

/** A reply that triggers a resend could multiply: no weather needs as many events as this. */
const EVENTS_MAX = 400_000

/**
 * Ten E are promised where E is far more than a round trip. Here it is ten ticks, of which a
 * pre-vote and a vote take four: two nodes left of three split about four in ten elections.
 */
const LEADER_WITHIN = 20 * ELECTION_TICKS

export interface Outcome {
  readonly seed: number
  readonly events: number
  /** over all events: equal seeds give equal hashes */
  readonly hash: string
  /** null: every promise was kept */
  readonly violation: string | null
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
  return { seed, events, hash: world.hash(), violation, faults, reached }
}

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
  readonly #coverage: Coverage
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
      deliver: message => this.#node(message.to).step({ kind: 'receive', message }),
      unreachable: (from, peer) =>
        scheduler.after(0, () => this.#node(from).step({ kind: 'unreachable', peer })),
    })
    const histories = new Histories()
    this.#nodes = this.#createNodes(seed, histories)
    this.#invariants = new Invariants(this.#nodes, histories)
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
      scheduler,
      network: this.#network,
      nodes: this.#nodes,
      faults,
    })
  }

  get now(): number {
    return this.#scheduler.now
  }

  hash(): string {
    return this.#hash.copy().digest('hex').slice(0, 16)
  }

  /** Storm, then calm: whatever happened before, a whole and quiet cluster has to get well. */
  run(): void {
    for (let tick = 0; tick < this.#weather.ticks; tick++) {
      this.#nemesis.tick()
      this.#clients.tick()
      this.#tick()
    }
    this.#network.calm()
    for (const node of this.#nodes) node.calm()
    this.#nemesis.calm()
    this.#clients.calm()
    this.#getsWell()
    this.#staysWell()
    this.#yields()
    this.#clients.check()
  }

  #createNodes(seed: number, histories: Histories): SimulatedNode[] {
    const voters = [...'abcdefg'.slice(0, this.#weather.nodes)].map(asNodeId)
    const configuration = configurationOf(voters)
    return voters.map(
      id =>
        new SimulatedNode({
          options: {
            ...DEFAULT_LIMITS,
            ...this.#weather.limits,
            id,
            seed,
            electionTicks: ELECTION_TICKS,
            heartbeatTicks: HEARTBEAT_TICKS,
          },
          configuration,
          weather: this.#weather,
          chance: new Chance(seed, `node ${id}`),
          clock: new Chance(seed, `clock ${id}`),
          scheduler: this.#scheduler,
          faults: this.faults,
          histories,
          witness: this.#witness(),
          send: message => this.#network.send(message),
        }),
    )
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
      accepted: ids => this.reached.add('write accepted', ids.length),
      rejected: ({ ids }) => this.#clients.refused(ids),
      settled: settled => {
        if (settled.mine) this.#invariants.answered(settled.entry)
        this.#clients.settled(settled)
      },
      readable: readable => this.#clients.readable(readable),
      crashesAt: node => this.#nemesis.crashesAtCompletion(node),
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
    for (const node of this.#nodes) node.tick()
    this.#scheduler.advance()
  }

  /** Some time with clients at work. */
  #pass(ticks: number): void {
    for (let tick = 0; tick < ticks; tick++) {
      this.#clients.tick()
      this.#tick()
    }
  }

  #tickUntil(done: () => boolean, ticks: number): boolean {
    for (let tick = 0; tick < ticks; tick++) {
      if (done()) return true
      this.#tick()
    }
    return done()
  }

  #getsWell(): void {
    const elected = this.#tickUntil(() => this.#leader() !== null, LEADER_WITHIN)
    must(elected, 'Live: a leader in time')
    const answered = (): boolean => {
      const leader = this.#leader()
      if (leader === null) return false
      const id = this.#clients.propose(leader, 1)
      this.#tickUntil(() => !this.#clients.isOpen(id), 2 * ELECTION_TICKS)
      return this.#clients.isAnswered(id)
    }
    must(this.#tickUntil(answered, 15 * ELECTION_TICKS), 'Live: a write answered within 15 E')
    this.#serves('Live: every client has its answer')
    this.#converges('Live: all logs equal and applied')
  }

  /** A stable leader is not disturbed by a node that was away (I17). */
  #staysWell(): void {
    const leader = this.#leader()
    must(leader !== null, 'Live: the leader stays')
    const { term } = leader.raft.state
    const away = this.#nodes.find(node => node !== leader)
    if (away !== undefined && this.#nodes.length >= 3) this.#isolate(away)
    this.#pass(6 * ELECTION_TICKS)
    this.#network.heal()
    this.#pass(6 * ELECTION_TICKS)
    this.#comesBackLevel(away)
    const stayed = this.#leader() === leader && leader.raft.state.term === term
    must(stayed, 'No term inflation: a node that comes back disturbs no leader')
    this.#serves('Live: every client has its answer from a stable cluster')
    this.#converges('Live: all logs equal again')
  }

  /** With no writes meanwhile its log is no reason to refuse it: only that a leader is heard. */
  #comesBackLevel(away: SimulatedNode | undefined): void {
    this.#tickUntil(() => this.#clients.finish(), 20 * ELECTION_TICKS)
    if (away !== undefined && this.#nodes.length >= 3) this.#isolate(away)
    this.#tickUntil(() => false, 3 * ELECTION_TICKS)
    this.#network.heal()
    this.#tickUntil(() => false, 3 * ELECTION_TICKS)
  }

  /** A leader that reaches nobody steps down, and the others have a new one (thesis §6.2). */
  #yields(): void {
    const leader = this.#leader()
    if (leader === null || this.#nodes.length < 3) return
    this.#isolate(leader)
    this.#pass(2 * ELECTION_TICKS)
    must(leader.raft.state.role.kind !== 'leader', 'Live: a leader that hears nobody steps down')
    const replaced = this.#tickUntil(() => this.#leader() !== null, LEADER_WITHIN)
    must(replaced, 'Live: another leader in time')
    this.#pass(2 * ELECTION_TICKS)
    this.#network.heal()
    this.#serves('Live: every client has its answer after a change of leader')
    this.#converges('Live: all logs equal after a change of leader')
  }

  #serves(promise: string): void {
    must(
      this.#tickUntil(() => this.#clients.finish(), this.#patience()),
      promise,
    )
  }

  #converges(promise: string): void {
    must(
      this.#tickUntil(() => this.#invariants.converged(), this.#patience()),
      promise,
    )
  }

  /** 30 E, and a round trip with its writes for each entry that somebody lacks: a window may hold one. */
  #patience(): number {
    const lengths = this.#nodes.flatMap(({ log, machine }) => [log.length, machine.length])
    return 30 * ELECTION_TICKS + 6 * (Math.max(...lengths) - Math.min(...lengths))
  }

  #isolate(node: SimulatedNode): void {
    for (const other of this.#nodes) {
      this.#network.block(node.id, other.id)
      this.#network.block(other.id, node.id)
    }
  }

  /** Whom a majority follows in one term. */
  #leader(): SimulatedNode | null {
    const leads = (node: SimulatedNode): boolean => {
      const { role, term } = node.raft.state
      if (!node.up || role.kind !== 'leader') return false
      return (
        this.#nodes.filter(({ raft }) => raft.state.term === term).length * 2 > this.#nodes.length
      )
    }
    return this.#nodes.find(leads) ?? null
  }

  #node(id: string): SimulatedNode {
    const node = this.#nodes.find(each => each.id === id)
    must(node !== undefined, `there is a node ${id}`)
    return node
  }
}
