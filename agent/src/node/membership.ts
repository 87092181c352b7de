import {
  type Configuration,
  type Member,
  type MembershipChange,
  memberOf,
  NO_CONFIGURATION,
} from '../raft/configuration.ts'
import type { Identity, NodeId } from '../raft/types.ts'
import type { Contact, MetPeer, Transport, TransportMember } from '../transport/transport.ts'
import type { MemberAddress, MemberStatus } from './node-api.ts'

export interface MembershipOptions {
  readonly identity: Identity
  /** null: this node joined; it is a member only as whom the log says it is */
  readonly founders: readonly MemberAddress[] | null
  /** how others reach this node */
  readonly contact: Contact
  readonly transport: Transport
}

/** A member by hearsay. */
export type Acquaintance = Pick<TransportMember, 'id' | 'raftBind'>

/** What a node does about the cluster's members: tells the transport who they are, and the cluster what it learnt of them. */
export class Membership {
  readonly #options: MembershipOptions
  #configuration: Configuration = NO_CONFIGURATION
  #members: readonly MemberStatus[] = []
  /** verified by the transport, as they described themselves */
  readonly #met = new Map<NodeId, MetPeer>()
  /** gone since the transport was told, even if they are back */
  #left = new Set<NodeId>()
  #current = false
  #introducing = false
  /** of whom a node that belongs to no cluster yet was told */
  #acquaintances: readonly TransportMember[] = []

  constructor(options: MembershipOptions) {
    this.#options = options
  }

  get members(): readonly MemberStatus[] {
    return this.#members
  }

  /** The configuration in force at start. */
  start(configuration: Configuration): void {
    this.#take(configuration)
    this.#tell()
  }

  /**
   * Applied one after the other. The transport hears of them only where they are the present: on the
   * way there an earlier one could shut out a node that leads by now.
   */
  applied(configurations: readonly Configuration[]): void {
    for (const configuration of configurations) {
      for (const { id } of this.#configuration.members) {
        if (memberOf(configuration, id) === null) this.#left.add(id)
      }
      this.#take(configuration)
    }
    for (const id of this.#left) this.#met.delete(id)
    if (this.#current && configurations.length > 0) this.#tell()
  }

  /** @param current whether what was applied here is what the leader's cluster has now */
  setCurrent(current: boolean): void {
    if (current === this.#current) return
    this.#current = current
    this.#tell()
  }

  /** Who lets this node join: to be dialled until a configuration says who is there. */
  acquaint(peers: readonly Acquaintance[]): void {
    this.#acquaintances = peers.map(peer => ({ ...peer, incarnation: '' }))
    if (!this.#isNamed()) this.#tell()
  }

  met(peer: MetPeer): void {
    this.#met.set(peer.id, peer)
  }

  /** Tells the cluster, one by one, what its configuration lacks of its members; to be called by a leader, now and then. */
  introduce(change: (change: MembershipChange) => Promise<unknown>): void {
    const introduction = this.#introducing ? null : this.#introduction()
    if (introduction === null) return
    this.#introducing = true
    void change(introduction).then(() => {
      this.#introducing = false
    })
  }

  #introduction(): MembershipChange | null {
    for (const member of this.#configuration.members) {
      const found = this.#known(member.id)
      if (found === null || !isNews(member, found)) continue
      const { incarnation, address, gateway } = found
      return { kind: 'identify', id: member.id, incarnation, address, gateway }
    }
    return null
  }

  #known(id: NodeId): Omit<MetPeer, 'id'> | null {
    const { identity, contact } = this.#options
    if (id === identity.nodeId) return { incarnation: identity.incarnation, ...contact }
    return this.#met.get(id) ?? null
  }

  #take(configuration: Configuration): void {
    this.#configuration = configuration
    this.#members = configuration.members.map(
      ({ id, role, incarnation, address, raftBind, gateway }) => {
        return { id, address, raftBind, gateway, role, identified: incarnation !== '' }
      },
    )
  }

  #tell(): void {
    const { transport } = this.#options
    const members = this.#peers()
    // Who is not named yet can shut out nobody: it is the others who still have to say who it is.
    const open = !this.#current || !this.#isNamed()
    transport.setMembership({ members, open, left: this.#left })
    if (open) return
    this.#left = new Set()
    // A guest is sent away now: should its name be added one day, that may be another disk.
    for (const id of this.#met.keys()) {
      if (memberOf(this.#configuration, id) === null) this.#met.delete(id)
    }
  }

  /** Whom to dial. Who is not named yet calls those who let it join, or whoever was a member once. */
  #peers(): readonly TransportMember[] {
    if (this.#isNamed()) return this.#configuration.members
    if (this.#acquaintances.length > 0) return this.#acquaintances
    return this.#options.founders === null ? this.#configuration.members : []
  }

  /** A configuration that does not name this very node is of before its time: it does not say who is who by now. */
  #isNamed(): boolean {
    const { identity, founders } = this.#options
    const own = memberOf(this.#configuration, identity.nodeId)?.incarnation ?? null
    return own === '' ? founders !== null : own === identity.incarnation
  }
}

function isNews(member: Member, found: Omit<MetPeer, 'id'>): boolean {
  if (member.incarnation === '') return true
  if (member.incarnation !== found.incarnation) return false
  return member.address !== found.address || member.gateway !== found.gateway
}
