import { checkKey } from '../key-rules.ts'
import { percentDecode } from '../percent.ts'
import type { Refusal } from '../refusal.ts'

/** `elsewhere`: a part of Consul's API that has no meaning here. */
export type ConsulResource =
  | 'kv'
  | 'txn'
  | 'session-create'
  | 'session-renew'
  | 'session-destroy'
  | 'session-info'
  | 'session-node'
  | 'session-list'
  | 'status-leader'
  | 'status-peers'
  | 'agent-self'
  | 'elsewhere'

const READ = 'GET, HEAD'

export const CONSUL_METHODS: Readonly<Record<ConsulResource, string | null>> = {
  kv: 'GET, HEAD, PUT, DELETE',
  txn: 'PUT',
  'session-create': 'PUT',
  'session-renew': 'PUT',
  'session-destroy': 'PUT',
  'session-info': READ,
  'session-node': READ,
  'session-list': READ,
  'status-leader': READ,
  'status-peers': READ,
  'agent-self': READ,
  elsewhere: null,
}

/** Those that need a machine of keys. */
export const CONSUL_KEY_RESOURCES: readonly ConsulResource[] = [
  'kv',
  'txn',
  'session-create',
  'session-renew',
  'session-destroy',
  'session-info',
  'session-node',
  'session-list',
]

const WHOLE: ReadonlyMap<string, ConsulResource> = new Map([
  ['/v1/txn', 'txn'],
  ['/v1/session/create', 'session-create'],
  ['/v1/session/list', 'session-list'],
  ['/v1/status/leader', 'status-leader'],
  ['/v1/status/peers', 'status-peers'],
  ['/v1/agent/self', 'agent-self'],
])

/** Those whose path ends in a name. */
const NAMED: ReadonlyMap<string, ConsulResource> = new Map([
  ['/v1/kv/', 'kv'],
  ['/v1/session/renew/', 'session-renew'],
  ['/v1/session/destroy/', 'session-destroy'],
  ['/v1/session/info/', 'session-info'],
  ['/v1/session/node/', 'session-node'],
])

/** First segments of Consul's API. What is not among them is nobody's. nginx/conf.d has the same list. */
const CONSUL =
  /^\/v1\/(?:acl|agent|catalog|config|connect|coordinate|discovery-chain|event|exported-services|health|imported-services|internal|kv|namespace|namespaces|operator|partition|partitions|peering|peerings|query|session|snapshot|status|txn)(?:\/|$)/

const NO_KEY = new Uint8Array(0)

/**
 * The path is matched as it came, so that no other spelling of a route gets past a guard in front;
 * only the name at its end is decoded.
 * @param path of a target whose escapes are well-formed, and which has neither NUL nor dot segments
 */
export function consulResource(
  path: string,
  keyBytesMax: number,
): { readonly resource: ConsulResource | 'unknown'; readonly key: Uint8Array } | Refusal {
  const whole = WHOLE.get(path)
  if (whole !== undefined) return { resource: whole, key: NO_KEY }
  for (const [prefix, resource] of NAMED) {
    if (!path.startsWith(prefix)) continue
    const key = percentDecode(path.slice(prefix.length)) ?? NO_KEY
    // A prefix may be empty; what else may not, is for the route to say.
    return key.length === 0 ? { resource, key } : (checkKey(key, keyBytesMax) ?? { resource, key })
  }
  return { resource: CONSUL.test(path) ? 'elsewhere' : 'unknown', key: NO_KEY }
}

/** Whether errors about this target are told as Consul tells them. */
export function speaksConsul(rawTarget: string): boolean {
  return CONSUL.test(rawTarget.split('?', 1)[0] ?? '')
}
