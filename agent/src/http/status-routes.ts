import type { MemberStatus, NodeStatus } from '../node/node-api.ts'
import type { NodeId } from '../raft/types.ts'
import { shown } from './cluster-changes.ts'
import { cameThroughGateway } from './door.ts'
import type { Api, Handler } from './exchange.ts'
import type { Incoming } from './fast/whole-request.ts'
import { contentReply, type Reply, uncached } from './reply.ts'
import type { StructureView } from './structure-view.ts'

const STATES = { leader: 'Leader', follower: 'Follower', candidate: 'Candidate' } as const

/** `GET /status`, and with `?brief=1` the few bytes from which a gateway learns who leads. */
export const getStatus: Handler = async (api, { target, incoming }) => {
  const status = api.node.status()
  if (target.query.get('brief') === '1') {
    const reply = json(brief(status, api.relay), status)
    if (api.relay) reply.headers['X-Raft-Relay'] = 'yes'
    // nginx keeps who leads for up to 2 s, and nothing that says no-store: a new leader is not to wait so long.
    return status.leader === null ? uncached(reply) : reply
  }
  return uncached(json(full(api, status, structureOf(api, incoming)), status))
}

/** `GET /raft`, as the seed answered it. */
export const getRaft: Handler = async api => {
  const status = api.node.status()
  return uncached(json({ State: STATES[status.role], Node: status.id }, status))
}

/** hraftd's shape, and more. As there, a leader that is not known has empty strings. */
function full(api: Api, status: NodeStatus, structure: StructureView | null): object {
  const { id, members, leader } = status
  return {
    me: { id, address: status.address },
    leader: leader === null ? { id: '', address: '' } : named(leader, members),
    followers: members.filter(member => member.id !== leader).map(idAndAddress),
    role: status.role,
    term: status.term,
    commitIndex: status.commitIndex,
    appliedIndex: status.appliedIndex,
    lastIndex: status.lastIndex,
    firstIndex: status.firstIndex,
    snapshots: status.snapshots,
    members: members.map(shown),
    voters: idsOf(members, 'voter'),
    learners: idsOf(members, 'learner'),
    edges: idsOf(members, 'edge'),
    ready: status.ready,
    notReady: status.notReady,
    quarantine: status.quarantine,
    check: status.check,
    stalenessMs: status.stalenessMs,
    links: status.links,
    version: api.version,
    uptimeMs: status.uptimeMs,
    chain: status.chain,
    edge: api.edge?.() ?? null,
    structure,
  }
}

const OPERATORS_ONLY = "told on the agent's own port"

/** What nginx says quotes its configuration, which is none of the clients' business. */
function structureOf({ structure }: Api, incoming: Incoming): StructureView | null {
  const view = structure?.view() ?? null
  if (view === null || !cameThroughGateway(incoming)) return view
  const kept = (words: string | null) => (words === null ? null : OPERATORS_ONLY)
  return { ...view, error: kept(view.error), warning: kept(view.warning) }
}

function brief(status: NodeStatus, relay: boolean): object {
  const leader = status.members.find(member => member.id === status.leader)
  return {
    me: { id: status.id },
    leader:
      leader === undefined
        ? null
        : { id: leader.id, http: leader.address, gateway: leader.gateway },
    term: status.term,
    relay,
  }
}

function idsOf(members: readonly MemberStatus[], role: MemberStatus['role']): readonly NodeId[] {
  return members.filter(member => member.role === role).map(member => member.id)
}

function named(id: NodeId, members: readonly MemberStatus[]): object {
  const member = members.find(member => member.id === id)
  return member === undefined ? { id, address: '' } : idAndAddress(member)
}

function idAndAddress(member: MemberStatus): object {
  return { id: member.id, address: member.address }
}

function json(value: object, status: NodeStatus): Reply {
  return contentReply({ type: 'application/json', text: JSON.stringify(value) }, status)
}
