import { consulHandler } from './consul/routes.ts'
import type { Handler } from './exchange.ts'
import { getLive, getReady } from './health-routes.ts'
import { deleteKey, getKey, postPairs } from './key-routes.ts'
import type { Resource } from './raw-target.ts'
import { getRaft, getStatus } from './status-routes.ts'

/** Who answers what clients and gateways ask for, without Hono; null: the others do. The method is one that it has. */
export function directHandler(resource: Resource, method: string): Handler | null {
  switch (resource) {
    case 'keys':
      return postPairs
    case 'key':
      return method === 'DELETE' ? deleteKey : getKey
    case 'status':
      return getStatus
    case 'raft':
      return getRaft
    case 'livez':
      return getLive
    case 'readyz':
      return getReady
    default:
      return consulHandler(resource, method)
  }
}
