import { encodeCommand } from '../machine/kv/command.ts'
import type { AnswerTo, Scope } from '../machine/kv/query.ts'
import type { NodeStatus } from '../node/node-api.ts'
import { checkRead, checkWrite } from './acl/checks.ts'
import { checkBodyHead, readText, wholeText } from './body.ts'
import { parseDuration } from './consul/duration.ts'
import { type Api, bodyLimits, type Exchange, type Handler } from './exchange.ts'
import { isWhole } from './fast/whole-request.ts'
import { awaitLevel } from './levels.ts'
import { parsePairs } from './pairs.ts'
import { propose } from './propose.ts'
import { readMachine } from './read-machine.ts'
import { isRefusal, refuse } from './refusal.ts'
import { contentReply, outcomeReply, type Reply, uncached } from './reply.ts'
import { checkReserved } from './reserved.ts'

/** `POST /key {"k":"v",…}`: all pairs in one entry. */
export const postPairs: Handler = async (api, exchange) => {
  const { incoming, head } = exchange
  const refusal = checkBodyHead(head)
  if (refusal !== null) return refusal
  const limits = bodyLimits(api)
  const body = isWhole(incoming) ? wholeText(incoming, limits) : await readText(incoming, limits)
  if (isRefusal(body)) return body
  const pairs = parsePairs(body.text, api.limits)
  if (isRefusal(pairs)) return pairs
  const keys = pairs.map(({ key }) => key)
  const refused = checkReserved(api, incoming, scopesOf(api, keys)) ?? checkWrite(exchange, keys)
  return refused ?? write(api, exchange, encodeCommand({ kind: 'set', pairs }))
}

function scopesOf({ reserved }: Api, keys: readonly Uint8Array[]): readonly Scope[] {
  return reserved === null ? [] : keys.map(bytes => ({ kind: 'key', bytes }))
}

/** `DELETE /key/<k>`: 200 whether or not there was one. */
export const deleteKey: Handler = async (api, exchange) => {
  const { key } = exchange.target
  const denied = checkWrite(exchange, [key])
  return denied ?? write(api, exchange, encodeCommand({ kind: 'delete', key }))
}

/**
 * `GET /key/<k>`: from this node's own machine; a missing key reads as the empty string. With
 * `?consistent` it is linearizable on every node: the leader is asked for the index only (thesis §6.4).
 * With `?max_stale=` it is refused by a node whose knowledge is older.
 */
export const getKey: Handler = async (api, exchange) => {
  const { target, head } = exchange
  const denied = checkRead(exchange, target.key)
  if (denied !== null) return denied
  const consistent = target.query.has('consistent')
  const bound = target.query.get('max_stale')
  const maxStaleMs = bound === undefined ? null : parseDuration(bound)
  if (bound !== undefined && maxStaleMs === null) {
    return refuse(400, 'BAD_DURATION', 'max_stale is a duration like 500ms or 5s')
  }
  if (consistent || head.minIndex !== null || maxStaleMs !== null) {
    const tooEarly = await awaitLevel(api, { consistent, minIndex: head.minIndex, maxStaleMs })
    const refused = tooEarly ?? checkRead(exchange, target.key)
    if (refused !== null) return refused
  }
  const answer = await readMachine(api, { kind: 'get', key: target.key })
  const reply = valueReply(target, answer, api.node.status())
  return consistent ? uncached(reply) : reply
}

function write(api: Api, exchange: Exchange, command: Uint8Array): Promise<Reply> {
  return propose(api, exchange, command).then(outcome => outcomeReply(outcome, api.node.status()))
}

/** Bytes that are no UTF-8 show as U+FFFD: this route speaks JSON text. */
function valueReply(
  target: Exchange['target'],
  answer: AnswerTo<{ kind: 'get'; key: Uint8Array }>,
  node: NodeStatus,
): Reply {
  const key = JSON.stringify(utf8(target.key))
  const value = answer.row === null ? '""' : JSON.stringify(utf8(answer.row.value))
  // By hand, since an object would treat the key `__proto__` as no plain name.
  const text = `{${key}:${value}}`
  return contentReply({ type: 'application/json', text }, node, answer.applied.index)
}

function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}
