import { ByteReader, ByteWriter, DecodeError } from '../lib/bytes.ts'
import { asNodeId, type NodeId } from './types.ts'

/**
 * `learner`: fed, becomes a voter once caught up. `edge`: fed, never votes. `leaving`: votes in the
 * outgoing half of a joint configuration only.
 */
export type MemberRole = 'voter' | 'learner' | 'edge' | 'leaving'

export interface Member {
  readonly id: NodeId
  readonly role: MemberRole
  /** '' until the leader has learnt it */
  readonly incarnation: string
  /** host:port of its agent's HTTP; '' until learnt */
  readonly address: string
  /** host:port of its Raft port */
  readonly raftBind: string
  /** where its gateway is reached; null: nobody said */
  readonly gateway: string | null
}

/** Who belongs to the cluster, and who decides in it (§6). In force from when its entry is applied. */
export interface Configuration {
  /** sorted by id */
  readonly members: readonly Member[]
  /** Joint consensus (§6): the voters before the change, sorted; empty otherwise. */
  readonly outgoing: readonly NodeId[]
}

/** Of a node that waits to be added. */
export const NO_CONFIGURATION: Configuration = { members: [], outgoing: [] }

/** What a cluster starts with, before its log says anything: all vote. */
export function initialConfiguration(
  members: readonly Pick<Member, 'id' | 'address' | 'raftBind' | 'gateway'>[],
): Configuration {
  const voters = members.map(member => ({ ...member, role: 'voter' as const, incarnation: '' }))
  return { members: voters.sort(byId), outgoing: [] }
}

const byId = (a: Member, b: Member): number => (a.id < b.id ? -1 : 1)

/** On disk and on the wire for ever, as are the positions of `ROLES`. */
const VERSION = 1
const ROLES = ['voter', 'learner', 'edge', 'leaving'] as const satisfies readonly MemberRole[]

/** Members that decide by themselves, or in the incoming half of a joint configuration. */
export function votersOf({ members }: Configuration): readonly NodeId[] {
  return members.filter(({ role }) => role === 'voter').map(({ id }) => id)
}

/** True while the majorities of two sets of voters are needed (§6). */
export function isJoint({ outgoing }: Configuration): boolean {
  return outgoing.length > 0
}

/** Whether `id` votes in either half. */
export function isVoter(configuration: Configuration, id: NodeId): boolean {
  return memberOf(configuration, id)?.role === 'voter' || configuration.outgoing.includes(id)
}

export function memberOf({ members }: Configuration, id: NodeId): Member | null {
  return members.find(member => member.id === id) ?? null
}

/**
 * Empty for `NO_CONFIGURATION`; else version u8, count u32, then of each member id, role u8,
 * incarnation, address, raftBind, gateway; then the count of outgoing voters u32 and their ids.
 */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const { members, outgoing } = configuration
  if (members.length === 0) return new Uint8Array(0)
  const writer = new ByteWriter()
  writer.u8(VERSION).u32(members.length)
  for (const { id, role, incarnation, address, raftBind, gateway } of members) {
    writer.ascii(id).u8(ROLES.indexOf(role)).ascii(incarnation).ascii(address).ascii(raftBind)
    if (gateway === null) writer.u8(0)
    else writer.u8(1).ascii(gateway)
  }
  writer.u32(outgoing.length)
  for (const id of outgoing) writer.ascii(id)
  return writer.view().slice()
}

/** @throws DecodeError unless the bytes are one whole configuration in its one order */
export function decodeConfiguration(bytes: Uint8Array): Configuration {
  if (bytes.length === 0) return NO_CONFIGURATION
  const reader = new ByteReader(bytes)
  reader.expect(VERSION, 'configuration of version')
  const members = Array.from({ length: decodeCount(reader) }, () => decodeMember(reader))
  const outgoing = Array.from({ length: decodeCount(reader) }, () => decodeNodeId(reader))
  reader.end()
  assertConfiguration({ members, outgoing })
  return { members, outgoing }
}

function decodeMember(reader: ByteReader): Member {
  const id = decodeNodeId(reader)
  const role = ROLES[reader.u8()]
  if (role === undefined) throw new DecodeError('unknown role of a member')
  const incarnation = reader.ascii()
  const address = reader.ascii()
  const raftBind = reader.ascii()
  return { id, role, incarnation, address, raftBind, gateway: decodeGateway(reader) }
}

function decodeGateway(reader: ByteReader): string | null {
  const known = reader.u8()
  if (known > 1) throw new DecodeError(`not a flag: ${known}`)
  return known === 0 ? null : reader.ascii()
}

/** Nothing is reserved for more than could be there. */
function decodeCount(reader: ByteReader): number {
  const count = reader.u32()
  if (count > reader.remaining) throw new DecodeError(`${count} members, but not their bytes`)
  return count
}

function decodeNodeId(reader: ByteReader): NodeId {
  try {
    return asNodeId(reader.ascii())
  } catch (error) {
    if (error instanceof RangeError) throw new DecodeError(error.message)
    throw error
  }
}

/** What every configuration keeps to, whoever wrote it. */
function assertConfiguration(configuration: Configuration): void {
  const { members, outgoing } = configuration
  const must = (holds: boolean, what: string): void => {
    if (!holds) throw new DecodeError(`a configuration ${what}`)
  }
  must(ascending(members.map(({ id }) => id)), 'names its members once and in order')
  must(ascending(outgoing), 'names its outgoing voters once and in order')
  must(votersOf(configuration).length > 0, 'has a voter')
  for (const { id, role } of members) {
    must(role !== 'leaving' || outgoing.includes(id), 'lets voters leave only')
  }
  for (const id of outgoing) {
    const role = memberOf(configuration, id)?.role
    must(role === 'voter' || role === 'leaving', 'keeps outgoing voters as members')
  }
}

function ascending(ids: readonly NodeId[]): boolean {
  return ids.every((id, at) => at === 0 || (ids[at - 1] ?? '') < id)
}

/** What can be asked of a cluster's membership. */
export type MembershipChange =
  /** As a learner, or as an edge that never votes. Asked again, nothing is to do. */
  | {
      readonly kind: 'add'
      readonly id: NodeId
      readonly raftBind: string
      readonly edge: boolean
    }
  /** With an incarnation: only that data directory; whoever has come under its name since stays. */
  | { readonly kind: 'remove'; readonly id: NodeId; readonly incarnation?: string }
  /** learner → voter */
  | { readonly kind: 'promote'; readonly id: NodeId }
  /** What the leader learnt of a member at its handshake. */
  | {
      readonly kind: 'identify'
      readonly id: NodeId
      readonly incarnation: string
      readonly address: string
      readonly gateway: string | null
    }
  /**
   * These voters and no others: several changes at once go through joint consensus (§6). To replace
   * a voter: add the new one, then name the voters without the old one.
   */
  | { readonly kind: 'reconfigure'; readonly voters: readonly NodeId[] }
  /** The leader's own: ends joint consensus. */
  | { readonly kind: 'leave-joint' }

type Reconfigure = Extract<MembershipChange, { kind: 'reconfigure' }>
type Add = Extract<MembershipChange, { kind: 'add' }>
type Remove = Extract<MembershipChange, { kind: 'remove' }>
type Identify = Extract<MembershipChange, { kind: 'identify' }>

export type Plan =
  | { readonly kind: 'changed'; readonly configuration: Configuration }
  /** it is so already */
  | { readonly kind: 'same' }
  /** in words for the operator */
  | { readonly kind: 'refused'; readonly why: string }

const SAME: Plan = { kind: 'same' }
const refused = (why: string): Plan => ({ kind: 'refused', why })

/**
 * The configuration after a change. One voter more or less at a time goes directly, since the
 * majorities before and after meet (thesis §4.1); more than one go through both halves (§6).
 */
export function planChange(configuration: Configuration, change: MembershipChange): Plan {
  if (votersOf(configuration).length === 0) return refused('this node belongs to no cluster')
  const waits = change.kind !== 'leave-joint' && change.kind !== 'identify'
  if (isJoint(configuration) && waits) return refused('an earlier change is not complete')
  switch (change.kind) {
    case 'add':
      return planAdd(configuration, change)
    case 'remove':
      return planRemove(configuration, change)
    case 'promote':
      return planPromote(configuration, change.id)
    case 'identify':
      return planIdentify(configuration, change)
    case 'reconfigure':
      return planReconfigure(configuration, change)
    case 'leave-joint':
      return planLeaveJoint(configuration)
  }
}

function planAdd(configuration: Configuration, { id, raftBind, edge }: Add): Plan {
  const known = memberOf(configuration, id)
  if (known !== null) {
    if (known.raftBind !== raftBind) return refused(`${id} is a member at ${known.raftBind}`)
    if ((known.role === 'edge') !== edge) return refused(`${id} is a member as ${known.role}`)
    return SAME
  }
  const other = configuration.members.find(member => member.raftBind === raftBind)
  if (other !== undefined) return refused(`${raftBind} belongs to ${other.id}`)
  const role = edge ? 'edge' : 'learner'
  const member: Member = { id, role, incarnation: '', address: '', raftBind, gateway: null }
  return withMembers(configuration, [...configuration.members, member])
}

function planRemove(configuration: Configuration, { id, incarnation }: Remove): Plan {
  const member = memberOf(configuration, id)
  if (member === null) return SAME
  if (incarnation !== undefined && member.incarnation !== incarnation) {
    return member.incarnation === ''
      ? refused(`the cluster has not recorded whose data directory ${id} has`)
      : SAME
  }
  const voters = votersOf(configuration)
  if (voters.length === 1 && voters[0] === id) return refused(`${id} is the last voter`)
  return withMembers(
    configuration,
    configuration.members.filter(member => member.id !== id),
  )
}

function planPromote(configuration: Configuration, id: NodeId): Plan {
  const member = memberOf(configuration, id)
  if (member?.role === 'voter') return SAME
  return mayVote(member, id) ?? withMember(configuration, id, { role: 'voter' })
}

function planIdentify(configuration: Configuration, change: Identify): Plan {
  const { id, incarnation, address, gateway } = change
  const member = memberOf(configuration, id)
  if (member === null) return refused(`${id} is not a member`)
  // A wiped disk comes back as somebody else, who has to be added as such.
  if (member.incarnation !== '' && member.incarnation !== incarnation) {
    return refused(`${id} is known under another incarnation`)
  }
  const { incarnation: known, address: at, gateway: by } = member
  if (known === incarnation && at === address && by === gateway) return SAME
  return withMember(configuration, id, { incarnation, address, gateway })
}

function planReconfigure(configuration: Configuration, change: Reconfigure): Plan {
  const wanted = new Set(change.voters)
  if (wanted.size === 0) return refused('nobody would vote')
  const before = votersOf(configuration)
  const added = [...wanted].filter(id => !before.includes(id))
  for (const id of added) {
    const refusal = mayVote(memberOf(configuration, id), id)
    if (refusal !== null) return refusal
  }
  const removed = before.filter(id => !wanted.has(id))
  const changes = added.length + removed.length
  if (changes === 0) return SAME
  const members = configuration.members.map(member => ({
    ...member,
    role: wanted.has(member.id) ? 'voter' : removed.includes(member.id) ? 'leaving' : member.role,
  }))
  if (changes > 1) return { kind: 'changed', configuration: { members, outgoing: before } }
  return withMembers(
    configuration,
    members.filter(({ role }) => role !== 'leaving'),
  )
}

function planLeaveJoint(configuration: Configuration): Plan {
  if (!isJoint(configuration)) return SAME
  const members = configuration.members.filter(({ role }) => role !== 'leaving')
  return { kind: 'changed', configuration: { members, outgoing: [] } }
}

/** Null: it may. A voter whose incarnation nobody knows could be wiped unnoticed. */
function mayVote(member: Member | null, id: NodeId): Plan | null {
  if (member === null) return refused(`${id} is not a member`)
  if (member.role === 'edge') return refused(`${id} is an edge: it never votes`)
  if (member.role === 'leaving') return refused(`${id} is leaving`)
  if (member.role === 'learner' && member.incarnation === '') {
    return refused(`${id} has not connected yet`)
  }
  return null
}

function withMember(configuration: Configuration, id: NodeId, change: Partial<Member>): Plan {
  return withMembers(
    configuration,
    configuration.members.map(member => (member.id === id ? { ...member, ...change } : member)),
  )
}

function withMembers({ outgoing }: Configuration, members: readonly Member[]): Plan {
  return { kind: 'changed', configuration: { members: [...members].sort(byId), outgoing } }
}
