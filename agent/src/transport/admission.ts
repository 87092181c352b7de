import type { NodeId } from '../raft/types.ts'
import type { PeerIdentities } from './peer-identities.ts'
import type { Membership, TransportMember } from './transport.ts'

/** Guests at a time: more than one new leader there cannot be, nor many candidates. */
const GUESTS_MAX = 16

/** Who may connect under which name: the membership in force, and the identities that were met. */
export class Admission {
  readonly #self: NodeId
  readonly #identities: PeerIdentities
  #members: ReadonlyMap<NodeId, TransportMember> = new Map()
  #open = false

  constructor(self: NodeId, identities: PeerIdentities) {
    this.#self = self
    this.#identities = identities
  }

  get members(): ReadonlyMap<NodeId, TransportMember> {
    return this.#members
  }

  /** @param onError the pins of former members could not be removed from disk; they are tried again with the next change */
  set({ members, open, left }: Membership, onError: (error: unknown) => void): void {
    const peers = members.filter(member => member.id !== this.#self)
    this.#members = new Map(peers.map(member => [member.id, member]))
    this.#open = open
    // A list that may be out of date is no reason to forget anybody.
    if (open) return
    const stayed = [...this.#members.keys()].filter(id => left?.has(id) !== true)
    this.#identities.keepOnly(new Set(stayed)).catch(onError)
  }

  isMember(id: NodeId): boolean {
    return this.#members.has(id)
  }

  /** Why `id` is not let in, whoever it is; null when that depends on its incarnation only. */
  objection(id: NodeId, guests: number): string | null {
    if (this.#members.has(id)) return null
    if (!this.#open) return `${id} is not a member in the configuration of ${this.#self}`
    return guests < GUESTS_MAX ? null : `${this.#self} has too many guests to let ${id} in`
  }

  /** Null once this peer may be believed; else the sentence that refuses it. Rejects like `PeerIdentities.verify`. */
  async verify(id: NodeId, incarnation: string): Promise<string | null> {
    const member = this.#members.get(id)
    // A guest is believed for as long as it stays: nothing is recorded of it.
    if (member === undefined) return null
    if (member.incarnation === '') return this.#identities.verify(id, incarnation)
    if (member.incarnation !== incarnation) return this.#identities.refusal(id, incarnation)
    await this.#identities.record(id, incarnation)
    return null
  }
}
