import type { Resource } from '../raw-target.ts'

/**
 * Who may ask for what, where tokens count:
 * `open` anybody; `token` whoever has one; `brief` the same, but who leads is told to anybody; `keys` the rules of the
 * token say, key by key, where the route knows which; `monitor` and `admin` a token of that role.
 */
export type Need = 'open' | 'token' | 'brief' | 'keys' | 'monitor' | 'admin'

/** Of every resource that the router knows: one that is not here does not compile. */
export const POLICIES: Readonly<Record<Resource, Need>> = {
  keys: 'keys',
  key: 'keys',
  watch: 'keys',
  kv: 'keys',
  txn: 'keys',
  'session-create': 'keys',
  'session-renew': 'keys',
  'session-destroy': 'keys',
  'session-info': 'keys',
  'session-node': 'keys',
  'session-list': 'keys',
  // Load balancers and gateways ask for these, and have no token.
  livez: 'open',
  readyz: 'open',
  raft: 'open',
  'status-leader': 'open',
  'status-peers': 'open',
  status: 'brief',
  'agent-self': 'token',
  metrics: 'monitor',
  members: 'monitor',
  // It says nothing of this cluster.
  openapi: 'open',
  join: 'admin',
  member: 'admin',
  promotion: 'admin',
  voters: 'admin',
  leadership: 'admin',
  // who may read all that becomes configuration
  structure: 'keys',
  backup: 'admin',
  'acl-bootstrap': 'open',
  'acl-switch': 'admin',
  'acl-tokens': 'admin',
  'acl-token': 'admin',
  // A machine that is plugged in keeps no tokens: where there are some, this is 404.
  fsm: 'open',
  elsewhere: 'open',
  unknown: 'open',
}

/** A monitor changes nothing. */
export function needOf(resource: Resource, method: string): Need {
  const need = POLICIES[resource]
  const reads = method === 'GET' || method === 'HEAD'
  return need === 'monitor' && !reads ? 'admin' : need
}
