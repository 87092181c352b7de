import type { IncomingMessage } from 'node:http'
import { type MachineHost, Unserved, type WebApp } from '../machine/plug-in/host.ts'
import { NotServing } from '../node/not-serving.ts'
import { readBody } from './body.ts'
import { type Api, bodyLimits, type Exchange, fault, refuseRequest } from './exchange.ts'
import { raftHeaders } from './headers.ts'
import { awaitLevel, idempotencyOf } from './levels.ts'
import { isRefusal, refuse } from './refusal.ts'
import {
  notServingProblem,
  outcomeReply,
  problemReply,
  type TextReply,
  toResponse,
} from './reply.ts'

/** What is known of a request beside what the machine's app is given. */
interface Served {
  readonly exchange: Exchange<IncomingMessage>
  /** index of the newest entry that the answer shows */
  shown: number
}

type ServedRequests = WeakMap<Request, Served>

/** Of the client's connection to here, and not of its request. */
const HOP_BY_HOP = ['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'te', 'trailer']

/** `/fsm/<name>/…`: the plugged-in machine's own app, behind the limits of every request. */
export function plugInRoutes(api: Api): (exchange: Exchange<IncomingMessage>) => Promise<Response> {
  const { plugIn } = api
  if (plugIn === null || plugIn.routes === null) {
    return exchange => Promise.resolve(missing(api, exchange))
  }
  const requests: ServedRequests = new WeakMap()
  const app = plugIn.routes(hostOf(api, requests))
  const prefix = `/fsm/${plugIn.name}/`
  return async exchange => {
    if (!exchange.target.path.startsWith(prefix)) return missing(api, exchange)
    try {
      return await serve({ api, app, requests, prefix }, exchange)
    } catch (error) {
      return error instanceof Unserved ? error.getResponse() : toResponse(fault(api, error))
    }
  }
}

interface Mounted {
  readonly api: Api
  readonly app: WebApp
  readonly requests: ServedRequests
  /** of every path, with a slash at each end */
  readonly prefix: string
}

async function serve(mounted: Mounted, exchange: Exchange<IncomingMessage>): Promise<Response> {
  const { api, app, requests, prefix } = mounted
  const { incoming, target } = exchange
  const method = incoming.method ?? 'GET'
  const body = await readBody(incoming, bodyLimits(api))
  if (isRefusal(body)) return toResponse(refuseRequest(api, incoming, body))
  const url = `http://agent/${target.path.slice(prefix.length)}${target.search}`
  const bodiless = method === 'GET' || method === 'HEAD'
  const request = new Request(url, {
    method,
    headers: headersOf(exchange),
    ...(bodiless ? {} : { body }),
  })
  const served: Served = { exchange, shown: api.node.status().appliedIndex }
  requests.set(request, served)
  const response = await app.fetch(request)
  const headers = new Headers(response.headers)
  const own = raftHeaders(api.node.status(), served.shown)
  for (const [name, value] of Object.entries(own)) headers.set(name, value)
  if (!headers.has('Cache-Control')) headers.set('Cache-Control', 'no-store')
  const { status, statusText } = response
  return new Response(response.body, { status, statusText, headers })
}

function headersOf({ incoming }: Exchange<IncomingMessage>): Headers {
  const headers = new Headers()
  for (const [name, values] of Object.entries(incoming.headersDistinct)) {
    if (HOP_BY_HOP.includes(name)) continue
    for (const value of values ?? []) headers.append(name, value)
  }
  return headers
}

function hostOf(api: Api, requests: ServedRequests): MachineHost {
  const servedOf = (request: Request): Served => {
    const served = requests.get(request)
    if (served === undefined) throw new TypeError('not the request that the app was given')
    return served
  }
  return {
    async propose(request, command) {
      const served = servedOf(request)
      const idempotency = idempotencyOf(served.exchange.head.idempotencyKey, command)
      const outcome = await api.node.propose(command, idempotency)
      if (outcome.kind === 'applied') served.shown = outcome.position.index
      if (outcome.kind !== 'applied' || outcome.result.kind !== 'done') {
        throw unserved(outcomeReply(outcome, api.node.status()))
      }
      return new Uint8Array(outcome.result.value ?? [])
    },
    async query(request, query) {
      const served = servedOf(request)
      const { target, head } = served.exchange
      const consistent = target.query.has('consistent')
      const tooEarly = await awaitLevel(api, {
        consistent,
        minIndex: head.minIndex,
        maxStaleMs: null,
      })
      if (tooEarly !== null) throw unserved(tooEarly)
      if (api.plugIn === null) throw new TypeError('no machine is plugged in')
      const { applied, value } = await api.plugIn.query(query).catch(notServed(api))
      served.shown = applied.index
      return new Uint8Array(value)
    },
    status() {
      const { id, leader, appliedIndex } = api.node.status()
      return { node: id, leader, appliedIndex }
    },
  }
}

/** So that Hono answers a read that is refused with the reason. */
function notServed(api: Api): (error: unknown) => never {
  return error => {
    if (!(error instanceof NotServing)) throw error
    throw unserved(problemReply(notServingProblem(error.message), api.node.status()))
  }
}

function unserved(reply: TextReply): Unserved {
  const { code, detail } = JSON.parse(reply.body) as { code: string; detail: string }
  return new Unserved({ status: reply.status, code, detail }, () => toResponse(reply))
}

function missing(api: Api, { incoming }: Exchange<IncomingMessage>): Response {
  const { plugIn } = api
  const which =
    plugIn === null
      ? 'the machine of this cluster is reached by its keys, not under /fsm/'
      : `the machine of this cluster is ${plugIn.name}${plugIn.routes === null ? ', which has no routes' : ''}`
  return toResponse(refuseRequest(api, incoming, refuse(404, 'NOT_FOUND', which)))
}
