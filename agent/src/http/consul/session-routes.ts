import { createHash, randomUUID } from 'node:crypto'
import type { Session } from '../../machine/kv/session.ts'
import { checkOwner, checkSession, isOwn, tagFor } from '../acl/checks.ts'
import { checkBodyHead, readText } from '../body.ts'
import { type Api, bodyLimits, type Exchange, type Handler } from '../exchange.ts'
import { levelProblem } from '../levels.ts'
import { readMachine } from '../read-machine.ts'
import { isRefusal, type Refusal, refuse } from '../refusal.ts'
import type { Reply } from '../reply.ts'
import { jsonReply, TOO_MANY, textReply, withIndex } from './consul-reply.ts'
import { readOptions } from './read-options.ts'
import { parseSession, sessionJson } from './session-json.ts'
import { whenChanged } from './when-changed.ts'
import { write } from './written.ts'

const ID = /^[!-~]{1,64}$/

/** `PUT /v1/session/create`: its id is drawn here, before it goes into the log. */
export const createSession: Handler = async (api, exchange) => {
  const { incoming, head } = exchange
  const refusal = checkBodyHead(head) ?? checkSession(exchange)
  if (refusal !== null) return refusal
  const body = await readText(incoming, bodyLimits(api))
  if (isRefusal(body)) return body
  const drawn = head.idempotencyKey === null ? randomUUID() : uuidOf(head.idempotencyKey)
  const id = withTag(drawn, tagFor(exchange))
  const session = parseSession(body.text, { id, node: api.node.status().id })
  if (isRefusal(session)) return session
  const written = await write(api, exchange, { kind: 'create-session', session })
  if (written.kind === 'failed') return written.reply
  return jsonReply(api.node.status(), { text: JSON.stringify({ ID: id }), shown: written.index })
}

/** `PUT /v1/session/renew/<id>`: through the log, so that whoever leads next knows of it. */
export const renewSession: Handler = async (api, exchange) => {
  const id = idOf(exchange.target.key)
  if (id === '') return missingId()
  const denied = checkOwner(exchange, id)
  if (denied !== null) return denied
  const written = await write(api, exchange, { kind: 'renew-session', id })
  if (written.kind === 'failed') return written.reply
  const { sessions } = await readMachine(api, { kind: 'sessions', id })
  const node = api.node.status()
  const [session] = sessions
  if (written.answer.kind === 'failures' || session === undefined) return textReply(NOT_FOUND, node)
  return jsonReply(node, { text: JSON.stringify([sessionJson(session)]), shown: written.index })
}

/** `PUT /v1/session/destroy/<id>`: true whether or not there was one. */
export const destroySession: Handler = async (api, exchange) => {
  const id = idOf(exchange.target.key)
  if (id === '') return missingId()
  const denied = checkOwner(exchange, id)
  if (denied !== null) return denied
  const written = await write(api, exchange, { kind: 'destroy-session', id })
  if (written.kind === 'failed') return written.reply
  return jsonReply(api.node.status(), { text: 'true', shown: written.index })
}

/** `GET /v1/session/info/<id>`: none, or one. */
export const getSession: Handler = (api, exchange) => {
  const id = idOf(exchange.target.key)
  return id === '' ? Promise.resolve(missingId()) : show(api, exchange, { id, only: () => true })
}

/** `GET /v1/session/list` */
export const listSessions: Handler = (api, exchange) =>
  show(api, exchange, { id: null, only: () => true })

/** `GET /v1/session/node/<node>` */
export const listNodeSessions: Handler = (api, exchange) => {
  const node = Buffer.from(exchange.target.key).toString('utf8')
  return show(api, exchange, { id: null, only: session => session.node === node })
}

const NOT_FOUND = { status: 404, detail: 'Session id not found' }

interface Selection {
  readonly id: string | null
  readonly only: (session: Session) => boolean
}

async function show(
  api: Api,
  exchange: Exchange,
  { id, only }: Selection,
): Promise<Reply | Refusal> {
  const options = readOptions(exchange)
  if (isRefusal(options)) return options
  const denied = checkSession(exchange)
  if (denied !== null) return denied
  const problem = await levelProblem(api, options)
  if (problem !== null) return textReply(problem, api.node.status())
  const { incoming } = exchange
  const waiting = { interest: { kind: 'sessions' as const }, block: options.block, incoming }
  const answer = await whenChanged(api, waiting, () => readMachine(api, { kind: 'sessions', id }))
  const node = api.node.status()
  if (answer === null) return textReply(TOO_MANY, node)
  const deniedSince = checkSession(exchange)
  if (deniedSince !== null) return deniedSince
  const own = isOwn(exchange)
  const listed = answer.sessions.filter(session => id !== null || own(session.id))
  const shown = listed.filter(only).map(sessionJson)
  const reply = jsonReply(node, { text: JSON.stringify(shown) })
  return withIndex(reply, node, { index: answer.index, applied: answer.applied.index })
}

/** Empty when it can be none. */
function idOf(key: Uint8Array): string {
  const id = Buffer.from(key).toString('latin1')
  return ID.test(id) ? id : ''
}

function missingId(): Refusal {
  return refuse(400, 'MISSING_SESSION', 'Missing session')
}

/** So that it can be told whose it is. @param tag its first eight digits; null: as it was drawn */
function withTag(id: string, tag: string | null): string {
  return tag === null ? id : tag + id.slice(tag.length)
}

/** The same for the same request, however often it is sent. */
function uuidOf(idempotencyKey: string): string {
  const hex = createHash('sha256').update(`session ${idempotencyKey}`).digest('hex')
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
  ]
  return [...parts, hex.slice(20, 32)].join('-')
}
