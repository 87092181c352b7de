import type { Socket } from 'node:net'
import { checkBodyHead } from '../body.ts'
import { directHandler } from '../direct-routes.ts'
import { type Api, admit, type Exchange, type Handler, refuseRequest, settle } from '../exchange.ts'
import { type Head, type HeaderName, headOf } from '../head.ts'
import { CLIENT_LEFT } from '../measures.ts'
import { parseTarget, type Target, type TargetLimits } from '../raw-target.ts'
import { isRefusal, type Refusal } from '../refusal.ts'
import type { Reply } from '../reply.ts'
import { type Order, orderOf } from './order.ts'
import type { PlainHead } from './plain-head.ts'
import { WholeRequest } from './whole-request.ts'

/** What a head asks for: of its bytes alone, whatever the time. */
export interface Asked {
  readonly plain: PlainHead
  readonly order: Order
  readonly what: Well | Refusal
}

interface Well {
  readonly kind: 'well-formed'
  readonly head: Head
  readonly target: Target
  readonly handler: Handler
}

/** A request that is answered here. */
export interface Served {
  readonly request: WholeRequest
  /** for the measures */
  readonly route: string
  /** monotonic ms */
  readonly began: number
  readonly order: Order
  /** of the whole request */
  readonly bytes: number
  readonly exchange: Exchange | Refusal
  /** Null: it is refused. */
  readonly handler: Handler | null
  /** of a HEAD */
  readonly bodiless: boolean
  /** Null: it has no answer yet, or none any more. */
  reply: Reply | null
  /** It had one, and is to be asked for anew. */
  isPutOff: boolean
  /** what is counted, if it ends now */
  code: number
}

/** Null: what is asked for is answered by Node's way only. */
export function askedBy(limits: TargetLimits, plain: PlainHead): Asked | null {
  const head = headOf(plain)
  const target = isRefusal(head) ? head : parseTarget(plain.target, limits)
  if (isRefusal(head) || isRefusal(target))
    return { plain, order: 'alone', what: target as Refusal }
  const handler = directHandler(target.resource, plain.method)
  if (handler === null) return null
  const order = orderOf(plain.method, head, target)
  return { plain, order, what: { kind: 'well-formed', head, target, handler } }
}

/** Begins: whether it may be served is decided now. */
export function serve(
  api: Api,
  socket: Socket,
  { plain, order, what }: Asked,
  body: Buffer,
): Served {
  const began = performance.now()
  const request = new WholeRequest(socket, plain, body)
  const exchange = isRefusal(what) ? what : admit(api, request, what)
  const served = isRefusal(what) || isRefusal(exchange) ? null : what
  // In one piece: spread out and then added to, an object has a shape of its own, which costs more than serving it.
  return {
    request,
    route: served?.target.resource ?? 'refused',
    began,
    order,
    bytes: plain.bytes + body.length,
    exchange,
    handler: served?.handler ?? null,
    bodiless: plain.method === 'HEAD',
    reply: null,
    isPutOff: false,
    code: CLIENT_LEFT,
  }
}

/** Of `own`, what says nothing of a request before its body is here. */
const QUIET: ReadonlySet<HeaderName> = new Set([
  'authorization',
  'x-consul-token',
  'idempotency-key',
])

/** Whether the rest of its body may be waited for here: no route says anything of it before all of it has come. */
export function mayComeLater({ plain, what }: Asked): boolean {
  if (isRefusal(what)) return false
  for (const name of plain.own?.keys() ?? []) if (!QUIET.has(name)) return false
  const { head, target } = what
  if (target.resource === 'keys') return plain.method === 'POST' && checkBodyHead(head) === null
  return plain.method === 'PUT' && isPlainKv(target)
}

function isPlainKv({ resource, key, search }: Target): boolean {
  return resource === 'kv' && key.length > 0 && search === ''
}

const NO_BODY = Buffer.alloc(0)

/** Whether it is refused by its head. */
export function isRefusedNow(api: Api, socket: Socket, { plain, what }: Asked): boolean {
  return isRefusal(what) || isRefusal(admit(api, new WholeRequest(socket, plain, NO_BODY), what))
}

/** Its answer; never rejects. */
export function answerTo(api: Api, { request, exchange, handler }: Served): Reply | Promise<Reply> {
  if (isRefusal(exchange)) return refuseRequest(api, request, exchange)
  return settle(api, handler as Handler, exchange)
}
