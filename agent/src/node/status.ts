import type { StateMachine } from '../machine/state-machine.ts'
import type { Raft } from '../raft/raft.ts'
import { asLogIndex, type Identity } from '../raft/types.ts'
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
  const { identity, contact, raft, membership, transport, freshness, now } = sources
  const { state, base, last } = raft
  const notReady = whyNotReady(sources)
  return {
    id: identity.nodeId,
    address: contact.address,
    role: state.role.kind,
    term: state.term,
    leader: state.leader,
    commitIndex: state.commit,
    appliedIndex: state.applied,
    lastIndex: last.index,
    firstIndex: asLogIndex(base.index + 1),
    members: membership.members,
    ready: notReady === '',
    notReady,
    quarantine: quarantineOf(sources),
    check: sources.checks.status,
    stalenessMs: freshness.stalenessMs(now),
    uptimeMs: Math.round(now - sources.startedAt),
    // Asked with every request for its headers, for these by operators only.
    get snapshots() {
      return sources.snapshots.status()
    },
    get chain() {
      const { index, chainHash } = sources.machine.applied()
      return { index, hash: Buffer.from(chainHash).toString('hex') }
    },
    get links() {
      return transport.links()
    },
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
