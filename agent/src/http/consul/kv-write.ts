import { type Operation, operation } from '../../machine/kv/operation.ts'
import { TREE_KEYS_MAX } from '../../machine/kv/tree-limits.ts'
import { checkSteps } from '../acl/checks.ts'
import { readBody, wholeBody } from '../body.ts'
import { type Api, bodyLimits, type Exchange, type Handler } from '../exchange.ts'
import { isWhole } from '../fast/whole-request.ts'
import { isRefusal, type Refusal, refuse } from '../refusal.ts'
import type { Reply } from '../reply.ts'
import { jsonReply, textReply } from './consul-reply.ts'
import { conflicting, expectedIndex, putStep } from './write-options.ts'
import { write } from './written.ts'

/** `PUT /v1/kv/<key>`: the body is the value, bytes as they come. */
export const putKv: Handler = async (api, exchange) => {
  const { incoming, head, target } = exchange
  if (target.key.length === 0) return refuse(400, 'MISSING_KEY', 'Missing key name')
  const encoding = head.contentEncoding
  if (encoding !== null && encoding.toLowerCase() !== 'identity') {
    return refuse(415, 'CONTENT_ENCODING', 'a body comes without Content-Encoding')
  }
  const step = putStep(exchange)
  if (isRefusal(step)) return step
  const limits = bodyLimits(api)
  const body = isWhole(incoming) ? wholeBody(incoming, limits) : await readBody(incoming, limits)
  if (isRefusal(body)) return body
  if (body.length > api.limits.valueBytesMax) {
    const detail = `Value exceeds ${api.limits.valueBytesMax} byte limit`
    return refuse(413, 'VALUE_TOO_LARGE', detail)
  }
  return proposeStep(api, exchange, { ...step, value: body })
}

/** `DELETE /v1/kv/<key>`, one key or all that begin with it. */
export const deleteKv: Handler = async (api, exchange) => {
  const { target, head } = exchange
  const recurse = target.query.has('recurse')
  if (target.key.length === 0 && !recurse) return refuse(400, 'MISSING_KEY', 'Missing key name')
  const index = expectedIndex(exchange)
  if (index !== null && typeof index === 'object') return index
  if (recurse && index !== null) return conflicting('recurse with cas')
  if (head.ifNoneMatch !== null) return conflicting('If-None-Match with DELETE')
  const verb = recurse ? 'delete-tree' : index === null ? 'delete' : 'delete-cas'
  return proposeStep(api, exchange, operation(verb, target.key, { index: index ?? 0 }))
}

const NO_SESSION = { status: 400, detail: 'invalid session: there is none of this id' }
const TOO_MANY = {
  status: 413,
  detail: `more than ${TREE_KEYS_MAX} keys begin with it: delete longer prefixes`,
}
const UNMET = { status: 412, detail: 'the key is not at the index of the precondition' }

/** One step, answered `true` or `false` as Consul does, or 412 to whoever asked by a header. */
async function proposeStep(
  api: Api,
  exchange: Exchange,
  step: Operation,
): Promise<Reply | Refusal> {
  const { head } = exchange
  const denied = checkSteps(exchange, [step])
  if (denied !== null) return denied
  const written = await write(api, exchange, { kind: 'transaction', operations: [step] })
  if (written.kind === 'failed') return written.reply
  const node = api.node.status()
  const { answer, index: shown } = written
  if (answer.kind === 'rows') {
    const reply = jsonReply(node, { text: 'true', shown })
    const [row] = answer.rows
    if (row !== undefined) Object.assign(reply.headers, { ETag: `"${row.modifyIndex}"` })
    return reply
  }
  const reason = answer.failures[0]?.reason
  if (reason === 'no-session') return textReply(NO_SESSION, node)
  if (reason === 'too-many') return textReply(TOO_MANY, node)
  if (head.ifMatch !== null || head.ifNoneMatch !== null) return textReply(UNMET, node)
  return jsonReply(node, { text: 'false', shown })
}
