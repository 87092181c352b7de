import type { Socket } from 'node:net'
import type { Caller } from './acl/caller.ts'
import type { Incoming } from './fast/whole-request.ts'
import type { Peers } from './peers.ts'
import type { Resource, Target } from './raw-target.ts'
import { type Refusal, refuse } from './refusal.ts'

/** What only operators may ask for: on the agent's own TCP port, and never through an nginx. */
const OPERATORS = /^\/(?:metrics|openapi\.json|join|v1\/cluster(?:\/.*)?)$/

/**
 * Refuses operators' paths, those that are nothing too, to whoever came through a gateway: on the unix socket, which has no remote
 * address, or forwarded by another node's nginx, which says so in a header that clients cannot take away.
 */
export function checkDoor(target: Target, incoming: Incoming): Refusal | null {
  if (!OPERATORS.test(target.path) || !cameThroughGateway(incoming)) return null
  return refuse(403, 'OPERATORS_ONLY', "this is served on the agent's own port only")
}

export function cameThroughGateway({ socket, headers }: Incoming): boolean {
  return socket.remoteAddress === undefined || headers['x-raft-hop'] !== undefined
}

/** Also as an IPv6 socket shows it. */
const LOOPBACK = /^(?:::ffff:)?127\.|^::1$/

/** Below it is what changes who belongs to the cluster, or who leads it, and what gives away all that it holds. */
const CLUSTER = /^\/(?:join|v1\/cluster(?:\/.*)?)$/

/** Agents ask for these by themselves. */
const OWN: ReadonlySet<Resource> = new Set(['join', 'member'])

/** Where who asks is judged by more than the request: the connection, and the token. */
export interface Credit {
  readonly peers: Peers
  readonly caller: Caller
}

/**
 * Refuses changes of the cluster, and backups, to whoever has not proven to be one of its agents, is not on this
 * machine, and has no token.
 */
export function checkPeer(
  target: Target,
  { method, socket }: Incoming,
  { peers, caller }: Credit,
): Refusal | null {
  const isHarmless = (method === 'GET' || method === 'HEAD') && target.resource !== 'backup'
  if (peers.open || isHarmless || !CLUSTER.test(target.path)) return null
  if (peers.proven(socket) !== null || isLocal(socket) || hasToken(caller)) return null
  const detail =
    'the cluster is changed and copied on one of its own machines, by an agent that proves to be one, or with a token'
  return refuse(401, 'PROVE_PEER', detail)
}

/** Whether an agent asks for what agents ask for: that needs no token. */
export function isPeersOwn({ resource }: Target, { socket }: Incoming, peers: Peers): boolean {
  return OWN.has(resource) && peers.proven(socket) !== null
}

/** What it is good for is another question. */
function hasToken(caller: Caller): boolean {
  const rights = caller.rights()
  return 'accessor' in rights && rights.accessor !== null
}

function isLocal({ remoteAddress = '', localAddress }: Socket): boolean {
  return LOOPBACK.test(remoteAddress) || remoteAddress === localAddress
}
