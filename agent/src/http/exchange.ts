import type { IncomingMessage } from 'node:http'
import type { Acl } from '../acl/acl.ts'
import type { ChangeFeed } from '../machine/kv/change-feed.ts'
import type { KvAnswer, KvQuery, Scope } from '../machine/kv/query.ts'
import type { PlugInAnswer, Routes } from '../machine/plug-in/host.ts'
import type { Logger } from '../node/logger.ts'
import type { NodeApi, NodeStatus } from '../node/node-api.ts'
import { NotServing } from '../node/not-serving.ts'
import { type Caller, callerOf, checkNeed } from './acl/caller.ts'
import type { Backups } from './backup/backups.ts'
import { abandonBody, type BodyLimits, checkBodyLength } from './body.ts'
import type { BodyBudget } from './body-budget.ts'
import { textReply } from './consul/consul-reply.ts'
import { CONSUL_KEY_RESOURCES, speaksConsul } from './consul/resources.ts'
import { checkDoor, checkPeer, isPeersOwn } from './door.ts'
import type { EdgeView } from './edge-view.ts'
import type { Incoming } from './fast/whole-request.ts'
import { type Head, readHead } from './head.ts'
import type { HttpLimits } from './limits.ts'
import type { HttpMeasures } from './measures.ts'
import type { Peers } from './peers.ts'
import { checkMethod, parseTarget, type Resource, type Target } from './raw-target.ts'
import { isRefusal, type Refusal, refuse } from './refusal.ts'
import {
  faultReply,
  notServingProblem,
  problemReply,
  type Reply,
  refusalReply,
  withRefusalHeaders,
} from './reply.ts'
import { checkReserved } from './reserved.ts'
import type { StructureDesk } from './structure-view.ts'
import type { Watches } from './watch/watches.ts'

const KEY_RESOURCES: ReadonlySet<Resource> = new Set([
  'keys',
  'key',
  'watch',
  'acl-switch',
  'acl-bootstrap',
  'acl-tokens',
  'acl-token',
  ...CONSUL_KEY_RESOURCES,
])

/** What the routes serve. */
export interface Api {
  /** Its `query` is only called where `keys` is true. */
  readonly node: NodeApi<KvQuery, KvAnswer>
  /** The machine that serves `/fsm/<name>/` in place of keys; null: the machine is one of keys. */
  readonly plugIn: PlugIn | null
  readonly limits: HttpLimits
  readonly bodies: BodyBudget
  readonly measures: HttpMeasures
  /** of this agent */
  readonly version: string
  readonly log: Logger
  /** What was changed on this node lately. */
  readonly feed: ChangeFeed
  readonly watches: Watches
  /** Who may do what. */
  readonly acl: Acl
  /** Whether this agent takes writes to other nodes, for its nginx. */
  readonly relay: boolean
  /** Null: its nginx keeps nothing in its memory. */
  readonly edge: (() => EdgeView) | null
  /** Null: no keys become nginx's configuration. */
  readonly structure: StructureDesk | null
  /** What keys begin with that only operators read and write; null: none. */
  readonly reserved: Uint8Array | null
  /** Null: this agent gives none. */
  readonly backups: Backups | null
  readonly peers: Peers
  /** Aborted when the server ends: whoever waits for changes is answered at once. */
  readonly closing: AbortSignal
}

/** A machine of another kind than keys. */
export interface PlugIn {
  readonly name: string
  /** Null: it has no HTTP of its own. */
  readonly routes: Routes | null
  query(query: Uint8Array): Promise<PlugInAnswer>
}

/**
 * The node of a plugged-in machine, as the routes take it: all of it but `query` has nothing to do with the
 * machine, and `receive` lets no request reach a route that asks for a key.
 */
export function withoutKeys(node: NodeApi<never, unknown>): Api['node'] {
  return node as Api['node']
}

/** One request that is well-formed, and whose resource has its method. */
export interface Exchange<From extends Incoming = Incoming> {
  readonly incoming: From
  readonly target: Target
  readonly head: Head
  /** may ask for this; which keys may be touched is for the route to check */
  readonly caller: Caller
}

/** What a route is: it knows nothing of Hono, so that the hot ones can do without. */
export type Handler = (api: Api, exchange: Exchange) => Promise<Reply | Refusal>

/** Every request that Node has read passes here first, whoever answers it. */
export function receive(api: Api, incoming: IncomingMessage): Exchange<IncomingMessage> | Refusal {
  const head = readHead(incoming, api.limits.headBytesMax)
  if (isRefusal(head)) return head
  const target = parseTarget(incoming.url ?? '', api.limits)
  if (isRefusal(target)) return target
  return admit(api, incoming, { head, target })
}

/** Whether a request that is well-formed may be served: every one passes here, whoever has read it. */
export function admit<From extends Incoming>(
  api: Api,
  incoming: From,
  { head, target }: { readonly head: Head; readonly target: Target },
): Exchange<From> | Refusal {
  const { method = '' } = incoming
  const caller = callerOf(api.acl, head, target.query)
  const refusal =
    checkDoor(target, incoming) ??
    checkKind(target, api.plugIn) ??
    checkMethod(target.resource, method) ??
    checkPeer(target, incoming, { peers: api.peers, caller }) ??
    (isPeersOwn(target, incoming, api.peers) ? null : checkNeed(caller, target, method)) ??
    checkReserved(api, incoming, scopeOf(target)) ??
    checkBodyLength(head, api.limits.bodyBytesMax)
  return refusal ?? { incoming, target, head, caller }
}

/** The keys that a target names by itself. */
function scopeOf({ resource, key, query }: Target): readonly Scope[] {
  if (resource !== 'key' && resource !== 'kv') return []
  const tree = resource === 'kv' && (query.has('recurse') || query.has('keys'))
  return [{ kind: tree ? 'prefix' : 'key', bytes: key }]
}

/** Of what clients send. */
export function bodyLimits({ bodies, limits }: Pick<Api, 'bodies' | 'limits'>): BodyLimits {
  return { bodies, bytesMax: limits.bodyBytesMax }
}

/** The routes of keys stay there where another machine runs, to say so. */
function checkKind({ resource }: Target, plugIn: PlugIn | null): Refusal | null {
  if (plugIn === null || !KEY_RESOURCES.has(resource)) return null
  const where = plugIn.routes === null ? '' : `; it is reached under /fsm/${plugIn.name}/`
  const detail = `this cluster runs the state machine ${plugIn.name}, which has no keys${where}`
  return refuse(501, 'NO_KEYS', detail)
}

/** The handler's answer; never rejects. */
export function settle(api: Api, handler: Handler, exchange: Exchange): Promise<Reply> {
  return begun(api, handler, exchange).then(
    result => (isRefusal(result) ? refuseRequest(api, exchange.incoming, result) : result),
    (error: unknown) => fault(api, error),
  )
}

function begun(api: Api, handler: Handler, exchange: Exchange): ReturnType<Handler> {
  try {
    return handler(api, exchange)
  } catch (error) {
    return Promise.reject(error)
  }
}

export function refuseRequest(api: Api, incoming: Incoming, refusal: Refusal): Reply {
  const closes = abandonBody(incoming, api.limits.bodyBytesMax)
  const node = statusIfAny(api)
  if (!speaksConsul(incoming.url ?? '')) return refusalReply(refusal, node, closes)
  return withRefusalHeaders(textReply(refusal, node), refusal, closes)
}

/** The answer to a request that failed; our own fault but for one case, which the node found out by itself. */
export function fault(api: Api, error: unknown): Reply {
  if (error instanceof NotServing) {
    return problemReply(notServingProblem(error.message), statusIfAny(api))
  }
  api.log.error({ err: error }, 'a request failed')
  return faultReply(statusIfAny(api))
}

/** Null while the node cannot say, as before it has started. */
export function statusIfAny(api: Api): NodeStatus | null {
  try {
    return api.node.status()
  } catch {
    return null
  }
}
