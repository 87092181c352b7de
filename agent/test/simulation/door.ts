import type { Configuration, MembershipChange } from '../../src/raft/configuration.ts'
import type { Input } from '../../src/raft/input.ts'
import type { Raft } from '../../src/raft/raft.ts'
import type { NodeId } from '../../src/raft/types.ts'
import { SimulatedAdmission } from './admission.ts'
import type { SimulatedNode } from './node.ts'
import type { NodeParts } from './node-parts.ts'
import type { Sent } from './pieces.ts'

const SAID_BY_LEADERS: ReadonlySet<Sent['kind']> = new Set([
  'append-entries',
  'heartbeat',
  'install-snapshot',
  'timeout-now',
] as const)

/** Between a node and its peers: whom it exchanges letters with, for as long as it has one disk. */
export class Door {
  readonly #parts: NodeParts
  readonly #node: SimulatedNode
  #admission: SimulatedAdmission

  /** @param met whom it has met, by name: their incarnations */
  constructor(node: SimulatedNode, parts: NodeParts, met: ReadonlyMap<NodeId, string>) {
    this.#node = node
    this.#parts = parts
    this.#admission = this.#create(met)
  }

  /** Another disk: nobody is known. */
  forget(): void {
    this.#admission = this.#create(new Map())
  }

  started(raft: Raft): void {
    this.#admission.started(raft)
  }

  stepped(input: Input, raft: Raft): void {
    this.#admission.stepped(input, raft)
  }

  take(configuration: Configuration): void {
    this.#admission.take(configuration)
  }

  /** Whom a message comes from. */
  admits(peer: NodeId, incarnation: string): boolean {
    return this.#lets(peer, incarnation, false)
  }

  /** Whom a message goes to. */
  releases(message: Sent, incarnation: string): boolean {
    return this.#lets(message.to, incarnation, SAID_BY_LEADERS.has(message.kind))
  }

  #lets(peer: NodeId, incarnation: string, leads: boolean): boolean {
    const { incarnationOf, reached } = this.#parts
    const lives = incarnationOf(peer) === incarnation
    const objection = this.#admission.objection(peer, incarnation, lives, leads)
    if (objection !== null) reached.add(`${objection} node refused`)
    return objection === null
  }

  /** The leader tells the cluster who its members are (B17). */
  introduceMembers(): void {
    const { weather, nextId } = this.#parts
    if (!weather.membership.identify || this.#node.raft.state.role.kind !== 'leader') return
    const found = this.#admission.introduction()
    if (!found) return
    const change: MembershipChange = { kind: 'identify', ...found, address: '', gateway: null }
    this.#node.step({ kind: 'change', id: nextId(), change })
  }

  #create(met: ReadonlyMap<NodeId, string>): SimulatedAdmission {
    const { id, incarnation, founder } = this.#node
    return new SimulatedAdmission({ id, incarnation, founder, met })
  }
}
