import type { IncomingMessage, ServerResponse } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { buildApp, type Env } from './app.ts'
import { serveBackup } from './backup/backup-route.ts'
import type { Connections } from './connections.ts'
import { directHandler } from './direct-routes.ts'
import { type Api, type Exchange, fault, receive, refuseRequest, settle } from './exchange.ts'
import { CLIENT_LEFT } from './measures.ts'
import { isRefusal } from './refusal.ts'
import { type Reply, toResponse } from './reply.ts'
import { serveWatch } from './watch/watch-route.ts'

export interface ListenerOptions {
  readonly api: Api
  readonly connections: Connections
  /** Whether answers should close their connections, since the server ends. */
  readonly closing: () => boolean
  /** False: all routes go through Hono. For tests and measurements. */
  readonly lean: boolean
}

export type Listener = (incoming: IncomingMessage, outgoing: ServerResponse) => void

/**
 * Answers requests. The key routes skip Hono, which costs them more than all else that is done here
 * for them; their handlers, and all that stands before them, are the same on both ways.
 */
export function createListener(options: ListenerOptions): Listener {
  const { api, connections, closing } = options
  const throughHono = honoListener(api)

  const send = (incoming: IncomingMessage, outgoing: ServerResponse, reply: Reply): void => {
    const { Connection: connection } = reply.headers
    if (closing() || connection === 'close') outgoing.shouldKeepAlive = false
    outgoing.writeHead(reply.status, reply.headers)
    outgoing.end(incoming.method === 'HEAD' || reply.body === '' ? undefined : reply.body)
    connections.answered(incoming, outgoing)
  }

  const watch = (exchange: Exchange<IncomingMessage>, outgoing: ServerResponse): void => {
    const { incoming } = exchange
    const refusal = serveWatch(api, exchange, outgoing)
    if (refusal !== null) send(incoming, outgoing, refuseRequest(api, incoming, refusal))
    else outgoing.once('close', () => connections.answered(incoming, outgoing))
  }

  const backup = async (
    exchange: Exchange<IncomingMessage>,
    outgoing: ServerResponse,
  ): Promise<void> => {
    const { incoming } = exchange
    const result = await serveBackup(api, exchange, outgoing).catch(error => fault(api, error))
    if (result === null) connections.answered(incoming, outgoing)
    else if (isRefusal(result)) send(incoming, outgoing, refuseRequest(api, incoming, result))
    else send(incoming, outgoing, result)
  }

  /** What is written piece by piece. */
  const streams = (exchange: Exchange<IncomingMessage>, outgoing: ServerResponse): boolean => {
    const { resource } = exchange.target
    if (resource === 'watch') watch(exchange, outgoing)
    else if (resource === 'backup') {
      backup(exchange, outgoing).catch(error => abort(api, exchange.incoming, error))
    } else return false
    return true
  }

  const start = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const exchange = receive(api, incoming)
    measure(api, outgoing, isRefusal(exchange) ? 'refused' : exchange.target.resource)
    if (isRefusal(exchange)) {
      send(incoming, outgoing, refuseRequest(api, incoming, exchange))
      return
    }
    if (exchange.head.expectsContinue) outgoing.writeContinue()
    if (streams(exchange, outgoing)) return
    const { method = '' } = incoming
    const handler = options.lean ? directHandler(exchange.target.resource, method) : null
    if (handler === null && closing()) outgoing.shouldKeepAlive = false
    const done =
      handler === null
        ? throughHono(exchange, outgoing).then(() => connections.answered(incoming, outgoing))
        : settle(api, handler, exchange).then(reply => send(incoming, outgoing, reply))
    done.catch((error: unknown) => abort(api, incoming, error))
  }

  return (incoming, outgoing) =>
    connections.began(incoming, () => {
      try {
        start(incoming, outgoing)
      } catch (error) {
        abort(api, incoming, error)
      }
    })
}

/** Counts the request once its answer has left, or its client. */
function measure({ measures, bodies }: Api, outgoing: ServerResponse, route: string): void {
  const began = performance.now()
  measures.inFlight++
  outgoing.once('close', () => {
    measures.inFlight--
    bodies.release(outgoing.req)
    const code = outgoing.headersSent ? outgoing.statusCode : CLIENT_LEFT
    const seconds = (performance.now() - began) / 1000
    measures.ended(route, outgoing.req.method ?? '', { code, seconds })
  })
}

/** An answer could not be written: the client learns no more than that. */
function abort(api: Api, incoming: IncomingMessage, error: unknown): void {
  api.log.error({ err: error }, 'an answer could not be written')
  incoming.socket.destroy()
}

function honoListener(
  api: Api,
): (exchange: Exchange<IncomingMessage>, outgoing: ServerResponse) => Promise<void> {
  const app = buildApp(api)
  const exchanges = new WeakMap<object, Exchange<IncomingMessage>>()
  const listener = getRequestListener(
    (request, env) => {
      const exchange = exchanges.get(env.incoming)
      if (exchange === undefined) throw new Error('a request without its exchange')
      const bindings: Env['Bindings'] = { exchange }
      return app.fetch(request, bindings)
    },
    {
      overrideGlobalObjects: false,
      autoCleanupIncoming: false,
      errorHandler: error => toResponse(fault(api, error)),
    },
  )
  return async (exchange, outgoing) => {
    const { incoming, target } = exchange
    exchanges.set(incoming, exchange)
    // The adapter makes a URL of both, and fails on hosts that are none. Nothing here depends on them.
    incoming.headers.host = 'agent'
    incoming.url = target.path
    await listener(incoming, outgoing)
  }
}
