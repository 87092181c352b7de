/** `/v1/cluster/acl`: the switch and the tokens. Whoever may, was decided before; all of it is written by the leader. */
import type { z } from 'zod'
import { SWITCH_KEY, tokenKey } from '../../acl/acl.ts'
import { ANONYMOUS, encodeSwitch, type StoredToken, type TokenFields } from '../../acl/token.ts'
import { type Operation, operation } from '../../machine/kv/operation.ts'
import type { Api, Handler } from '../exchange.ts'
import { type Refusal, refuse } from '../refusal.ts'
import { contentReply, type Reply, uncached } from '../reply.ts'
import { aclSwitch, expiryOf, newToken, shown, tokenChange } from './acl-bodies.ts'
import {
  askLeader,
  bodyOf,
  CHANGED,
  carryOut,
  draw,
  find,
  isLastAdmin,
  lastingAdmins,
  writing,
} from './acl-writes.ts'

/** All tokens are read whenever one of them changes. */
const TOKENS_MAX = 1_000
/** Of one, as it is stored. */
const TOKEN_BYTES_MAX = 12 * 1024

const SWITCH = { schema: aclSwitch, shape: 'the body is {"enabled": true or false}' }
const TOKEN_SHAPE =
  'the body is {"name": text, "role": "client", "monitor" or "admin", "rules": [{"prefix": text, "access": "read", "write" or "deny"}], "ttl": a duration like 24h}, each of them optional'

const NO_TOKEN = refuse(404, 'NOT_FOUND', 'no token has this accessor')
const TOO_LARGE = refuse(413, 'TOO_LARGE', `a token has at most ${TOKEN_BYTES_MAX} bytes`)
const TOO_MANY = refuse(409, 'TOO_MANY_TOKENS', `there are at most ${TOKENS_MAX} tokens`)
const LAST_ADMIN = refuse(
  409,
  'LAST_ADMIN',
  'no token of the role admin that lasts would be left: make another one first, or switch tokens off',
)
const DONE_ALREADY = refuse(
  403,
  'BOOTSTRAPPED',
  'the first token was given out already. If it is lost: make an empty file acl-bootstrap-reset in the raft_dir of the node that leads, and ask that node again',
)

/** `GET /v1/cluster/acl` */
export const getSwitch: Handler = async api => switchReply(api)

/** `PUT /v1/cluster/acl {"enabled"}` */
export const putSwitch: Handler = async (api, exchange) => {
  const body = await bodyOf(api, exchange, SWITCH)
  if ('reply' in body) return body.reply
  const { enabled } = body.value
  if (enabled === api.acl.enabled) return switchReply(api)
  if (enabled && lastingAdmins(api.acl).length === 0) return LAST_ADMIN
  const value = encodeSwitch(enabled)
  return (await carryOut(api, [operation('set', SWITCH_KEY, { value })])) ?? switchReply(api)
}

/** `POST /v1/cluster/acl/bootstrap`: tokens count from now on, and this is the first of them. Once. */
export const postBootstrap: Handler = async (api, exchange) => {
  const elsewhere = await askLeader(api, exchange, '')
  if (elsewhere !== null) return elsewhere
  const { acl } = api
  const reset = acl.bootstrapped
  if (reset && !acl.mayReset) return DONE_ALREADY
  const made = draw(acl, { name: 'bootstrap', role: 'admin', rules: [], expiresAt: null })
  const on = operation('set', SWITCH_KEY, { value: encodeSwitch(true) })
  // Of two that ask at once, the second finds the key.
  const first = reset ? [] : [operation('check-not-exists', SWITCH_KEY)]
  const problem = await carryOut(api, [...first, on, made.step])
  if (problem !== null) return problem === CHANGED ? DONE_ALREADY : problem
  if (reset) acl.wasReset()
  return tokenReply(api, made.accessor, made.secret)
}

/** `GET /v1/cluster/acl/tokens`: without secrets, which nobody has. */
export const getTokens: Handler = async api => {
  const tokens = [...api.acl.tokens].sort((one, other) => one.createIndex - other.createIndex)
  return json(api, { tokens: tokens.map(token => shown(api.acl, token)) })
}

/** `POST /v1/cluster/acl/tokens`: the answer is the only place where the secret ever stands. */
export const postToken: Handler = async (api, exchange) => {
  const body = await bodyOf(api, exchange, { schema: newToken, shape: TOKEN_SHAPE })
  if ('reply' in body) return body.reply
  if (api.acl.tokens.length >= TOKENS_MAX) return TOO_MANY
  const { ttl, ...fields } = body.value
  const made = draw(api.acl, { ...fields, expiresAt: expiryOf(api.acl, ttl) })
  return (await store(api, made.step)) ?? tokenReply(api, made.accessor, made.secret)
}

/** `GET /v1/cluster/acl/tokens/<accessor>` */
export const getToken: Handler = async (api, { target }) =>
  find(api, accessorIn(target.path)) === null ? NO_TOKEN : tokenReply(api, accessorIn(target.path))

/** `PUT /v1/cluster/acl/tokens/<accessor>`: what is given replaces what was; its secret stays. */
export const putToken: Handler = async (api, exchange) => {
  const body = await bodyOf(api, exchange, { schema: tokenChange, shape: TOKEN_SHAPE })
  if ('reply' in body) return body.reply
  const accessor = accessorIn(exchange.target.path)
  const old = find(api, accessor)
  if (old === null && accessor !== ANONYMOUS) return NO_TOKEN
  const { ttl } = body.value
  const kept = old ?? NOBODY
  const fields = { ...kept, ...given(body.value) }
  if (accessor === ANONYMOUS && (fields.role !== 'client' || ttl !== undefined)) {
    return refuse(400, 'BAD_BODY', 'anonymous has the role client, and no end')
  }
  const expiresAt = ttl === undefined ? kept.expiresAt : expiryOf(api.acl, ttl)
  const lasts = fields.role === 'admin' && expiresAt === null
  if (!lasts && isLastAdmin(api.acl, accessor)) return LAST_ADMIN
  const { hash, name, role, rules } = fields
  const token = { version: 1, hash, name, role, rules, expiresAt } as const
  const step = writing(api.acl, { accessor, token, index: old?.modifyIndex ?? 0 })
  return (await store(api, step)) ?? tokenReply(api, accessor)
}

/** `DELETE /v1/cluster/acl/tokens/<accessor>`: it is good for nothing any more; gone already is 200 too. */
export const deleteToken: Handler = async (api, exchange) => {
  const elsewhere = await askLeader(api, exchange, '')
  if (elsewhere !== null) return elsewhere
  const accessor = accessorIn(exchange.target.path)
  if (isLastAdmin(api.acl, accessor)) return LAST_ADMIN
  const problem = await carryOut(api, [operation('delete', tokenKey(accessor))])
  return problem ?? json(api, { deleted: accessor })
}

const NOBODY: StoredToken = {
  version: 1,
  hash: '',
  name: '',
  role: 'client',
  rules: [],
  expiresAt: null,
}

/** Without what was not said. */
function given({ name, role, rules }: z.infer<typeof tokenChange>): Partial<TokenFields> {
  return { ...(name !== undefined && { name }), ...(role && { role }), ...(rules && { rules }) }
}

async function store(api: Api, step: Operation): Promise<Reply | Refusal | null> {
  return step.value.length > TOKEN_BYTES_MAX ? TOO_LARGE : carryOut(api, [step])
}

function switchReply(api: Api): Reply {
  const { enabled, bootstrapped, tokens } = api.acl
  return json(api, { enabled, bootstrapped, tokens: tokens.length })
}

/** @param secret only where it was drawn just now */
function tokenReply(api: Api, accessor: string, secret?: string): Reply | Refusal {
  const token = find(api, accessor)
  if (token === null) return NO_TOKEN
  return json(api, { ...shown(api.acl, token), ...(secret !== undefined && { secret }) })
}

function accessorIn(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function json(api: Api, value: object): Reply {
  const text = JSON.stringify(value)
  return uncached(contentReply({ type: 'application/json', text }, api.node.status()))
}
