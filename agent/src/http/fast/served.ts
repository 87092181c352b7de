import type { Socket } from 'node:net'
import { checkBodyHead } from '../body.ts'
import { directHandler } from '../direct-routes.ts'
import { type Api, admit, type Exchange, type Handler, refuseRequest, settle } from '../exchange.ts'
import { headOf } from '../head.ts'
import { parseTarget } from '../raw-target.ts'
import { isRefusal, type Refusal } from '../refusal.ts'
import type { Reply } from '../reply.ts'
import type { PlainHead } from './plain-head.ts'
import { WholeRequest } from './whole-request.ts'

/** A request that is answered here. */
export interface Served {
  readonly request: WholeRequest
  /** for the measures */
  readonly route: string
  /** monotonic ms */
  readonly began: number
  readonly exchange: Exchange | Refusal
  /** Null: it is refused. */
  readonly handler: Handler | null
}

/** Null: what is asked for is answered by Node's way only. Nothing has happened then. */
export function serve(
  api: Api,
  socket: Socket,
  plain: PlainHead,
  chunks: readonly Buffer[],
): Served | null {
  const began = performance.now()
  const head = headOf(plain)
  const target = isRefusal(head) ? head : parseTarget(plain.target, api.limits)
  const request = new WholeRequest(socket, plain, bodyOf(plain, chunks))
  if (isRefusal(head) || isRefusal(target)) return refused(request, began, target as Refusal)
  const handler = directHandler(target.resource, plain.method)
  if (handler === null) return null
  const exchange = admit(api, request, { head, target })
  if (isRefusal(exchange)) return refused(request, began, exchange)
  return { request, route: target.resource, began, exchange, handler }
}

const NO_BODY = Buffer.alloc(0)

/** Whether the rest of a body is worth waiting for: nothing is said of this request before all of it is here. */
export function waitsForBody(api: Api, socket: Socket, plain: PlainHead): boolean {
  if (plain.own !== null) return false
  const head = headOf(plain)
  const target = parseTarget(plain.target, api.limits)
  if (isRefusal(head) || isRefusal(target)) return false
  const request = new WholeRequest(socket, plain, NO_BODY)
  if (isRefusal(admit(api, request, { head, target }))) return false
  if (target.resource === 'keys') return checkBodyHead(head) === null
  return target.resource === 'kv' && target.key.length > 0 && target.search === ''
}

/** Its answer; never rejects. */
export function answerTo(api: Api, { request, exchange, handler }: Served): Reply | Promise<Reply> {
  if (isRefusal(exchange)) return refuseRequest(api, request, exchange)
  return settle(api, handler as Handler, exchange)
}

function refused(request: WholeRequest, began: number, refusal: Refusal): Served {
  return { request, route: 'refused', began, exchange: refusal, handler: null }
}

function bodyOf({ bytes }: PlainHead, chunks: readonly Buffer[]): Buffer {
  const [only] = chunks
  const all = chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks)
  return all.subarray(bytes)
}
