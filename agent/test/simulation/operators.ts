import {
  type Configuration,
  type MembershipChange,
  memberOf,
  planChange,
} from '../../src/raft/configuration.ts'
import type { NodeId } from '../../src/raft/types.ts'
import type { Chance } from './chance.ts'
import type { Memberships } from './memberships.ts'
import type { SimulatedNode } from './node.ts'
import { votersIn } from './quorums.ts'
import type { Tally } from './tally.ts'
import type { Weather } from './weather.ts'

interface Parts {
  readonly weather: Weather['membership']
  readonly chance: Chance
  readonly nodes: readonly SimulatedNode[]
  readonly memberships: Memberships
  /** for the next request */
  readonly nextId: () => number
  readonly faults: Tally
}

/** Beyond this, sets of majorities get too many to compare. */
const VOTERS_MAX = 9

/** People who add, remove, promote and replace members, at the worst of times. */
export class Operators {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  tick(): void {
    const { weather, chance } = this.#parts
    if (chance.happens(weather.change)) this.#change()
    if (chance.happens(weather.repair)) this.#repair()
    if (chance.happens(weather.check)) this.#check()
  }

  /** A member whose disk is gone or damaged goes out, and comes back as somebody else. */
  #repair(): void {
    const { chance, nodes, memberships } = this.#parts
    const lost = nodes.filter(node => node.lost)
    const leader = this.#leader()
    if (lost.length === 0 || leader === undefined) return
    const node = chance.oneOf(lost)
    if (memberOf(leader.configuration, node.id) !== null) {
      this.#ask(leader, { kind: 'remove', id: node.id })
    } else if (memberOf(memberships.latest, node.id) === null) {
      this.#add(leader, node)
    }
  }

  #check(): void {
    const { faults, nextId } = this.#parts
    const leader = this.#leader()
    if (leader === undefined) return
    faults.add('check asked for')
    leader.step({ kind: 'propose-check', id: nextId() })
  }

  /** Mostly at the leader: the others only say no. */
  #change(): void {
    const { chance, nodes } = this.#parts
    const node = chance.happens(0.9) ? this.#leader() : chance.oneOf(nodes)
    if (node === undefined || !node.up) return
    const { configuration } = node
    const draw = chance.within(1, 100)
    if (draw <= 30) this.#addSome(node)
    else if (draw <= 55) this.#removeSome(node)
    else if (draw <= 65) this.#promoteSome(node)
    else this.#ask(node, { kind: 'reconfigure', voters: this.#drawVoters(configuration) })
  }

  #addSome(leader: SimulatedNode): void {
    const { chance, nodes, memberships } = this.#parts
    const known = (id: NodeId): boolean =>
      [leader.configuration, memberships.latest].some(each => memberOf(each, id) !== null)
    const others = nodes.filter(({ id }) => !known(id))
    if (others.length > 0) this.#add(leader, chance.oneOf(others))
  }

  /** On an empty disk, whatever it was before. */
  #add(leader: SimulatedNode, node: SimulatedNode): void {
    const { chance, weather, memberships, faults } = this.#parts
    const edge = chance.happens(weather.edges)
    const change = { kind: 'add', id: node.id, raftBind: `${node.id}:1`, edge } as const
    // Its old disk may be what a configuration on its way out still counts on.
    if (!node.lost && !memberships.mayLose(node)) return
    faults.add('node started to join')
    node.join()
    this.#ask(leader, change)
  }

  #removeSome(leader: SimulatedNode): void {
    const { chance } = this.#parts
    const ids = leader.configuration.members.map(({ id }) => id)
    if (ids.length === 0) return
    const id = chance.happens(0.3) ? leader.id : chance.oneOf(ids)
    this.#ask(leader, { kind: 'remove', id })
  }

  #promoteSome(leader: SimulatedNode): void {
    const ids = leader.configuration.members.filter(({ role }) => role !== 'voter')
    if (ids.length === 0) return
    this.#ask(leader, { kind: 'promote', id: this.#parts.chance.oneOf(ids).id })
  }

  /** Each member in or out; now and then the leader is among those who leave. */
  #drawVoters({ members }: Configuration): readonly NodeId[] {
    const { chance } = this.#parts
    return members
      .filter(({ role }) => role === 'voter' || role === 'learner')
      .filter(({ role }) => chance.happens(role === 'voter' ? 0.6 : 0.9))
      .map(({ id }) => id)
  }

  /** Nobody takes away what the rest needs to decide; all else may be asked, and refused. */
  #ask(node: SimulatedNode, change: MembershipChange): void {
    const { memberships, faults, nextId } = this.#parts
    const plan = planChange(node.configuration, change)
    if (plan.kind === 'changed') {
      if (!memberships.canDecide(plan.configuration)) return
      if (votersIn(plan.configuration).length > VOTERS_MAX) return
    }
    faults.add(`change asked for: ${change.kind}`)
    node.step({ kind: 'change', id: nextId(), change })
  }

  #leader(): SimulatedNode | undefined {
    const leaders = this.#parts.nodes.filter(
      ({ up, raft }) => up && raft.state.role.kind === 'leader',
    )
    return leaders.sort((a, b) => b.raft.state.term - a.raft.state.term)[0]
  }
}
