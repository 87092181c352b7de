import type { IncomingMessage } from 'node:http'
import type { Target } from './raw-target.ts'
import { type Refusal, refuse } from './refusal.ts'

/** What only operators may ask for: on the agent's own TCP port, and never through an nginx. */
const OPERATORS = /^\/(?:metrics|openapi\.json|join|v1\/cluster(?:\/.*)?)$/

/**
 * Refuses operators' paths, those that are nothing too, to whoever came through a gateway: on the unix socket, which has no remote
 * address, or forwarded by another node's nginx, which says so in a header that clients cannot take away.
 */
export function checkDoor(target: Target, incoming: IncomingMessage): Refusal | null {
  if (!OPERATORS.test(target.path) || !cameThroughGateway(incoming)) return null
  return refuse(403, 'OPERATORS_ONLY', "this is served on the agent's own port only")
}

export function cameThroughGateway({ socket, headers }: IncomingMessage): boolean {
  return socket.remoteAddress === undefined || headers['x-raft-hop'] !== undefined
}
