import { memberOf } from '../../src/raft/configuration.ts'
import type { NodeId } from '../../src/raft/types.ts'
import type { Chance } from './chance.ts'
import type { Clients } from './clients.ts'
import type { Invariants } from './invariants.ts'
import type { Memberships } from './memberships.ts'
import type { SimulatedNetwork } from './network.ts'
import type { SimulatedNode } from './node.ts'
import { decides } from './quorums.ts'
import type { Tally } from './tally.ts'
import { must } from './violation.ts'
import { ELECTION_TICKS } from './weather.ts'

interface Parts {
  readonly nodes: readonly SimulatedNode[]
  readonly chance: Chance
  readonly network: SimulatedNetwork
  readonly clients: Clients
  readonly invariants: Invariants
  readonly memberships: Memberships
  /** the leader learns who its members are, and promotes learners */
  readonly identified: boolean
  readonly reached: Tally
  /** Has this leader ask for a check of all machines. */
  readonly check: (leader: SimulatedNode) => void
  /** One tick of the world. */
  readonly tick: () => void
}

/**
 * Ten E are promised where E is far more than a round trip. Here it is ten ticks, of which a
 * pre-vote and a vote take four: two nodes left of three split about four in ten elections.
 */
const LEADER_WITHIN = 20 * ELECTION_TICKS
/** There, to disk, and back, at its slowest. */
const ROUND_TRIP_TICKS = 24

/** After the storm: whatever happened before, a quiet cluster gets well and stays so (I16, I17). */
export class Liveness {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** @param restore starts nodes, and ends their faults */
  check(restore: (nodes: readonly SimulatedNode[]) => void): void {
    const { nodes, network, clients } = this.#parts
    network.calm()
    clients.calm()
    const core = this.#drawCore()
    this.#cutOff(core)
    restore(core)
    this.#getsWell(core)
    network.heal()
    restore(nodes)
    this.#getsWell(nodes)
    this.#findsWrongMachines(restore)
    this.#serves('Live: every client has its answer')
    this.#staysWell()
    this.#yields()
    clients.check(this.#membersAmong(nodes))
  }

  /** As few as can decide, drawn; the others stay away for now, whatever state they are in. */
  #drawCore(): readonly SimulatedNode[] {
    const { nodes, chance, memberships, reached } = this.#parts
    const sound = nodes.filter(
      ({ lost, waits, disk, lacksMachine, aside, machine }) =>
        !(lost || waits || disk.rotten || lacksMachine || aside || machine.hasDiverged),
    )
    // Whoever learns may be made to vote before its absence is noticed.
    const learns = ({ id }: SimulatedNode): boolean =>
      memberships.possible().some(each => memberOf(each, id)?.role === 'learner')
    const core = sound.filter(learns)
    const left = sound.filter(node => !core.includes(node))
    const enough = (): boolean =>
      [...memberships.possible(), ...core.map(({ configuration }) => configuration)].every(each =>
        decides(each, voter => core.some(({ id }) => id === voter)),
      )
    while (left.length > 0 && !enough()) {
      core.push(...left.splice(chance.within(0, left.length - 1), 1))
    }
    if (left.length > 0) reached.add('only a majority healed')
    return core
  }

  #cutOff(core: readonly SimulatedNode[]): void {
    const { nodes, network } = this.#parts
    for (const inside of core) {
      for (const outside of nodes) {
        if (core.includes(outside)) continue
        network.block(inside.id, outside.id)
        network.block(outside.id, inside.id)
      }
    }
  }

  /** A leader in time, a write answered, all of `nodes` level. */
  #getsWell(nodes: readonly SimulatedNode[]): void {
    const { clients } = this.#parts
    const elected = this.#tickUntil(() => this.#leader() !== null, LEADER_WITHIN)
    must(elected || !this.#decide(nodes), 'Live: a leader in time')
    const answered = (): boolean => {
      const leader = this.#leader()
      if (leader === null) return false
      const id = clients.propose(leader, 1)
      this.#tickUntil(() => !clients.isOpen(id), 2 * ELECTION_TICKS)
      return clients.isAnswered(id)
    }
    // Through a window of one message each entry that a voter lacks costs a round trip.
    const within = 15 * ELECTION_TICKS + this.#behind(nodes) * ROUND_TRIP_TICKS
    const wrote = this.#tickUntil(answered, within)
    must(wrote || !this.#decide(nodes), 'Live: a write answered within 15 E')
    if (this.#decide(nodes)) this.#converges(nodes, 'Live: all logs equal and applied')
  }

  /** Not if a change that was asked for just before took one of a mere majority away. */
  #decide(nodes: readonly SimulatedNode[]): boolean {
    const { latest } = this.#parts.memberships
    return decides(latest, voter => nodes.some(({ id }) => id === voter))
  }

  /** A check shows whose machine is not what the others' are; that one takes itself out (F). */
  #findsWrongMachines(restore: (nodes: readonly SimulatedNode[]) => void): void {
    const { nodes, check } = this.#parts
    const wrong = this.#membersAmong(nodes).filter(({ machine }) => machine.hasDiverged)
    if (wrong.length === 0) return
    const found = (): boolean => {
      const leader = this.#leader()
      if (leader !== null) check(leader)
      this.#tickUntil(() => wrong.every(({ aside }) => aside), 2 * ELECTION_TICKS)
      return wrong.every(({ aside }) => aside)
    }
    must(this.#tickUntil(found, 10 * ELECTION_TICKS), 'Live: a wrong machine is found')
    restore(nodes)
    const elected = this.#tickUntil(() => this.#leader() !== null, LEADER_WITHIN)
    must(elected, 'Live: a leader in place of one that stood aside')
    this.#converges(nodes, 'Live: all logs equal and applied by new machines')
  }

  /** Entries that the last of them lacks. */
  #behind(nodes: readonly SimulatedNode[]): number {
    const last = this.#leader()?.raft.last.index ?? 0
    return Math.max(0, ...nodes.map(({ raft }) => last - raft.last.index))
  }

  /** A stable leader is not disturbed by a node that was away (I17). */
  #staysWell(): void {
    const leader = this.#leader()
    must(leader !== null, 'Live: the leader stays')
    const { term } = leader.raft.state
    const away = this.#membersAmong(this.#parts.nodes).find(node => node !== leader)
    this.#isolate(away)
    this.#pass(6 * ELECTION_TICKS)
    this.#parts.network.heal()
    this.#pass(6 * ELECTION_TICKS)
    this.#comesBackLevel(away)
    const stayed = this.#leader() === leader && leader.raft.state.term === term
    must(stayed, 'No term inflation: a node that comes back disturbs no leader')
    this.#serves('Live: every client has its answer from a stable cluster')
    this.#converges(this.#parts.nodes, 'Live: all logs equal again')
  }

  /** With no writes meanwhile its log is no reason to refuse it: only that a leader is heard. */
  #comesBackLevel(away: SimulatedNode | undefined): void {
    const { clients, network } = this.#parts
    this.#tickUntil(() => clients.finish(), 20 * ELECTION_TICKS)
    this.#isolate(away)
    this.#tickUntil(() => false, 3 * ELECTION_TICKS)
    network.heal()
    this.#tickUntil(() => false, 3 * ELECTION_TICKS)
  }

  /** A leader that reaches nobody steps down, and the others have a new one (thesis §6.2). */
  #yields(): void {
    const leader = this.#leader()
    if (leader === null || !this.#canSpare(leader)) return
    this.#isolate(leader)
    this.#pass(2 * ELECTION_TICKS)
    must(leader.raft.state.role.kind !== 'leader', 'Live: a leader that hears nobody steps down')
    const replaced = this.#tickUntil(() => this.#leader() !== null, LEADER_WITHIN)
    must(replaced, 'Live: another leader in time')
    this.#pass(2 * ELECTION_TICKS)
    this.#parts.network.heal()
    this.#serves('Live: every client has its answer after a change of leader')
    this.#converges(this.#parts.nodes, 'Live: all logs equal after a change of leader')
  }

  #serves(promise: string): void {
    must(
      this.#tickUntil(() => this.#parts.clients.finish(), this.#patience()),
      promise,
    )
  }

  /** Those of `nodes` that are members in the end are level, and no change is half done. */
  #converges(nodes: readonly SimulatedNode[], promise: string): void {
    const { invariants } = this.#parts
    const converged = (): boolean =>
      this.#isSettled(nodes) && invariants.converged(this.#membersAmong(nodes))
    must(this.#tickUntil(converged, this.#patience()), promise)
  }

  /** No change is half done, and none will follow by itself: whoever can be promoted has been. */
  #isSettled(nodes: readonly SimulatedNode[]): boolean {
    const { memberships, identified } = this.#parts
    const { outgoing, members } = memberships.latest
    const heard = (id: NodeId): boolean => nodes.some(node => node.id === id && !node.lost)
    const waits = members.some(({ id, role }) => role === 'learner' && heard(id))
    return outgoing.length === 0 && !(identified && waits)
  }

  #membersAmong(nodes: readonly SimulatedNode[]): readonly SimulatedNode[] {
    const { members } = this.#parts.memberships.latest
    return nodes.filter(node => !node.lost && members.some(({ id }) => id === node.id))
  }

  /** 30 E, and a round trip with its writes for each entry that somebody lacks: a window may hold one. */
  #patience(): number {
    const members = this.#membersAmong(this.#parts.nodes)
    const lengths = members.flatMap(({ log, machine }) => [log.length, machine.length])
    return 30 * ELECTION_TICKS + 6 * (Math.max(...lengths) - Math.min(...lengths))
  }

  /** Some time with clients at work. */
  #pass(ticks: number): void {
    for (let tick = 0; tick < ticks; tick++) {
      this.#parts.clients.tick()
      this.#parts.tick()
    }
  }

  #tickUntil(done: () => boolean, ticks: number): boolean {
    for (let tick = 0; tick < ticks; tick++) {
      if (done()) return true
      this.#parts.tick()
    }
    return done()
  }

  /** Unless nothing could commit without it. */
  #isolate(node: SimulatedNode | undefined): void {
    const { nodes, network } = this.#parts
    if (node === undefined || !this.#canSpare(node)) return
    for (const other of nodes) {
      network.block(node.id, other.id)
      network.block(other.id, node.id)
    }
  }

  #canSpare(node: SimulatedNode): boolean {
    const { memberships, nodes } = this.#parts
    const left = this.#membersAmong(nodes).filter(each => each !== node)
    return decides(memberships.latest, voter => left.some(({ id }) => id === voter))
  }

  /** Whom a majority follows in one term. */
  #leader(): SimulatedNode | null {
    const { nodes } = this.#parts
    const leads = (node: SimulatedNode): boolean => {
      const { role, term } = node.raft.state
      if (!node.up || role.kind !== 'leader') return false
      const follow = nodes.filter(({ up, lost, raft }) => up && !lost && raft.state.term === term)
      return decides(node.configuration, voter => follow.some(({ id }) => id === voter))
    }
    return nodes.find(leads) ?? null
  }
}
