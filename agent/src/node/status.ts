import type { StateMachine } from '../machine/state-machine.ts'
import type { Raft } from '../raft/raft.ts'
import { asLogIndex, type Identity, type LogIndex } from '../raft/types.ts'
import type { Contact, Transport } from '../transport/transport.ts'
import type { ChainChecks } from './chain-checks.ts'
import type { Freshness } from './freshness.ts'
import type { Membership } from './membership.ts'
import type { NodeStatus } from './node-api.ts'
import { quarantineText } from './quarantine.ts'
import type { Snapshots } from './snapshots.ts'

/** Why a node serves nothing whose machine ends before its log begins. */
export const LACKS_SNAPSHOT =
  'its state machine ends before its log begins: it waits for a snapshot from the leader'

/** Where a node's status comes from. */
export interface StatusSources {
  readonly identity: Identity
  readonly contact: Contact
  readonly raft: Raft
  readonly membership: Membership
  readonly transport: Transport
  readonly machine: Pick<StateMachine<never, unknown>, 'applied'>
  readonly checks: ChainChecks
  readonly snapshots: Snapshots
  readonly freshness: Freshness
  readonly now: number
  readonly startedAt: number
  readonly stopping: boolean
}

export function statusOf(sources: StatusSources): NodeStatus {
  return new Status(sources)
}

/** One shape for all: asked for with every request, and read by many. */
class Status implements NodeStatus {
  readonly id: NodeStatus['id']
  readonly address: string
  readonly role: NodeStatus['role']
  readonly term: NodeStatus['term']
  readonly leader: NodeStatus['leader']
  readonly commitIndex: LogIndex
  readonly appliedIndex: LogIndex
  readonly lastIndex: LogIndex
  readonly firstIndex: LogIndex
  readonly members: NodeStatus['members']
  readonly ready: boolean
  readonly notReady: string
  readonly quarantine: string | null
  readonly check: NodeStatus['check']
  readonly stalenessMs: number | null
  readonly uptimeMs: number
  readonly #sources: StatusSources

  constructor(sources: StatusSources) {
    const { identity, contact, raft, membership, checks, freshness, now } = sources
    const { state, base, last } = raft
    this.id = identity.nodeId
    this.address = contact.address
    this.role = state.role.kind
    this.term = state.term
    this.leader = state.leader
    this.commitIndex = state.commit
    this.appliedIndex = state.applied
    this.lastIndex = last.index
    this.firstIndex = asLogIndex(base.index + 1)
    this.members = membership.members
    this.notReady = whyNotReady(sources)
    this.ready = this.notReady === ''
    this.quarantine = quarantineOf(sources)
    this.check = checks.status
    this.stalenessMs = freshness.stalenessMs(now)
    this.uptimeMs = Math.round(now - sources.startedAt)
    this.#sources = sources
  }

  // Asked with every request for its headers, for these by operators only.
  get snapshots(): NodeStatus['snapshots'] {
    return this.#sources.snapshots.status()
  }

  get chain(): NodeStatus['chain'] {
    const { index, chainHash } = this.#sources.machine.applied()
    return { index, hash: Buffer.from(chainHash).toString('hex') }
  }

  get links(): NodeStatus['links'] {
    return this.#sources.transport.links()
  }
}

function quarantineOf({ checks }: StatusSources): string | null {
  return checks.quarantined === null ? null : quarantineText(checks.quarantined)
}

function whyNotReady(sources: StatusSources): string {
  const { raft, membership, transport, freshness, stopping } = sources
  const { leader, applied, needsSnapshot, install } = raft.state
  if (stopping) return 'stopping'
  const quarantine = quarantineOf(sources)
  if (quarantine !== null) return quarantine
  if (needsSnapshot && install === null) return LACKS_SNAPSHOT
  if (leader === null) {
    const refusing = transport.links().find(link => link.refused)
    if (refusing !== undefined) return `${refusing.peer} ${refusing.lastError}`
    return membership.members.length === 0 ? 'waits to be added to the cluster' : 'no leader known'
  }
  if (install !== null) return 'a snapshot from the leader is being installed'
  return freshness.caughtUp(applied) ? '' : 'catching up with the leader'
}
