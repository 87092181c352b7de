import type { IncomingMessage } from 'node:http'
import { type Context, Hono } from 'hono'
import {
  deleteToken,
  getSwitch,
  getToken,
  getTokens,
  postBootstrap,
  postToken,
  putSwitch,
  putToken,
} from './acl/acl-routes.ts'
import { deleteMember, getMembers, postLeader, postPromote, putVoters } from './cluster-routes.ts'
import { consulHandler } from './consul/routes.ts'
import { type Api, type Exchange, fault, type Handler, settle, statusIfAny } from './exchange.ts'
import { plugInRoutes } from './fsm-routes.ts'
import { getLive, getReady } from './health-routes.ts'
import { postJoin } from './join-routes.ts'
import { deleteKey, getKey, postPairs } from './key-routes.ts'
import { getMetrics } from './metrics-routes.ts'
import { getOpenApi } from './openapi-routes.ts'
import { refuse } from './refusal.ts'
import { refusalReply, toResponse } from './reply.ts'
import { getRaft, getStatus } from './status-routes.ts'
import { putStructure } from './structure-routes.ts'

/** What the server gives the app beside the request, which has lost the raw target. */
export interface Env {
  Bindings: { readonly exchange: Exchange<IncomingMessage> }
}

/**
 * The routes. Which method a resource has was settled before, by `receive`; paths are matched as they
 * came, since `a%2Fb` is one segment. GET serves HEAD too.
 */
export function buildApp(api: Api): Hono<Env> {
  const app = new Hono<Env>({
    getPath: (_request, options = {}) => (options.env as Env['Bindings']).exchange.target.path,
  })
  const route = (handler: Handler) => async (context: Context<Env>) =>
    toResponse(await settle(api, handler, context.env.exchange))
  app.post('/key', route(postPairs))
  app.get('/key/:key', route(getKey))
  app.delete('/key/:key', route(deleteKey))
  app.get('/status', route(getStatus))
  app.get('/raft', route(getRaft))
  app.get('/livez', route(getLive))
  app.get('/readyz', route(getReady))
  app.post('/join', route(postJoin))
  app.get('/metrics', route(getMetrics))
  app.get('/v1/cluster/members', route(getMembers))
  app.post('/v1/cluster/members', route(postJoin))
  app.delete('/v1/cluster/members/:id', route(deleteMember))
  app.post('/v1/cluster/members/:id/promote', route(postPromote))
  app.put('/v1/cluster/voters', route(putVoters))
  app.post('/v1/cluster/leader', route(postLeader))
  app.put('/v1/cluster/structure', route(putStructure))
  app.get('/v1/cluster/acl', route(getSwitch))
  app.put('/v1/cluster/acl', route(putSwitch))
  app.post('/v1/cluster/acl/bootstrap', route(postBootstrap))
  app.get('/v1/cluster/acl/tokens', route(getTokens))
  app.post('/v1/cluster/acl/tokens', route(postToken))
  app.get('/v1/cluster/acl/tokens/:accessor', route(getToken))
  app.put('/v1/cluster/acl/tokens/:accessor', route(putToken))
  app.delete('/v1/cluster/acl/tokens/:accessor', route(deleteToken))
  app.get('/openapi.json', route(getOpenApi))
  const plugIn = plugInRoutes(api)
  app.all('/fsm/*', context => plugIn(context.env.exchange))
  app.all('/v1/*', async (context, next) => {
    const { exchange } = context.env
    const handler = consulHandler(exchange.target.resource, exchange.incoming.method ?? '')
    return handler === null ? next() : toResponse(await settle(api, handler, exchange))
  })
  app.notFound(() => {
    const refusal = refuse(404, 'NOT_FOUND', 'there is no such resource')
    return toResponse(refusalReply(refusal, statusIfAny(api)))
  })
  app.onError(error => toResponse(fault(api, error)))
  return app
}
