import type { IncomingMessage } from 'node:http'
import type { KvAnswer, KvQuery } from '../machine/kv/query.ts'
import type { Logger } from '../node/logger.ts'
import type { NodeApi, NodeStatus } from '../node/node-api.ts'
import { abandonBody, checkBodyLength } from './body.ts'
import { checkDoor } from './door.ts'
import { type Head, readHead } from './head.ts'
import type { HttpLimits } from './limits.ts'
import type { HttpMeasures } from './measures.ts'
import { checkMethod, parseTarget, type Target } from './raw-target.ts'
import { isRefusal, type Refusal } from './refusal.ts'
import { faultReply, type Reply, refusalReply } from './reply.ts'

/** What the routes serve. */
export interface Api {
  readonly node: NodeApi<KvQuery, KvAnswer>
  readonly limits: HttpLimits
  readonly measures: HttpMeasures
  /** of this agent */
  readonly version: string
  readonly log: Logger
}

/** One request that is well-formed, and whose resource has its method. */
export interface Exchange {
  readonly incoming: IncomingMessage
  readonly target: Target
  readonly head: Head
}

/** What a route is: it knows nothing of Hono, so that the hot ones can do without. */
export type Handler = (api: Api, exchange: Exchange) => Promise<Reply | Refusal>

/** Every request passes here first, whoever answers it. */
export function receive(api: Api, incoming: IncomingMessage): Exchange | Refusal {
  const head = readHead(incoming, api.limits.headBytesMax)
  if (isRefusal(head)) return head
  const target = parseTarget(incoming.url ?? '', api.limits)
  if (isRefusal(target)) return target
  const refusal =
    checkDoor(target.resource, incoming) ??
    checkMethod(target.resource, incoming.method ?? '') ??
    checkBodyLength(head, api.limits.bodyBytesMax)
  return refusal ?? { incoming, target, head }
}

/** The handler's answer; never rejects. */
export async function settle(api: Api, handler: Handler, exchange: Exchange): Promise<Reply> {
  try {
    const result = await handler(api, exchange)
    return isRefusal(result) ? refuseRequest(api, exchange.incoming, result) : result
  } catch (error) {
    return fault(api, error)
  }
}

export function refuseRequest(api: Api, incoming: IncomingMessage, refusal: Refusal): Reply {
  const closes = abandonBody(incoming, api.limits.bodyBytesMax)
  return refusalReply(refusal, statusIfAny(api), closes)
}

export function fault(api: Api, error: unknown): Reply {
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
