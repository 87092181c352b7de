import type { Handler } from '../exchange.ts'
import type { Resource } from '../raw-target.ts'
import { getAgentSelf, getElsewhere, getStatusLeader, getStatusPeers } from './agent-routes.ts'
import { getKv } from './kv-read.ts'
import { deleteKv, putKv } from './kv-write.ts'
import type { ConsulResource } from './resources.ts'
import {
  createSession,
  destroySession,
  getSession,
  listNodeSessions,
  listSessions,
  renewSession,
} from './session-routes.ts'
import { putTxn } from './txn.ts'

const HANDLERS: Readonly<Record<ConsulResource, Handler>> = {
  kv: getKv,
  txn: putTxn,
  'session-create': createSession,
  'session-renew': renewSession,
  'session-destroy': destroySession,
  'session-info': getSession,
  'session-node': listNodeSessions,
  'session-list': listSessions,
  'status-leader': getStatusLeader,
  'status-peers': getStatusPeers,
  'agent-self': getAgentSelf,
  elsewhere: getElsewhere,
}

/** Null when the resource is none of Consul's. The method is one that the resource has. */
export function consulHandler(resource: Resource, method: string): Handler | null {
  if (resource === 'kv' && method === 'PUT') return putKv
  if (resource === 'kv' && method === 'DELETE') return deleteKv
  return Object.hasOwn(HANDLERS, resource) ? HANDLERS[resource as ConsulResource] : null
}
