import { unreachable } from '../../lib/assert.ts'
import type { Failure, KvOutcome, Reason } from '../../machine/kv/answer.ts'
import { isWrite, type Operation } from '../../machine/kv/operation.ts'
import type { Scope } from '../../machine/kv/query.ts'
import { ROWS_BYTES_MAX, TREE_KEYS_MAX } from '../../machine/kv/tree-limits.ts'
import { checkSteps, readableTo } from '../acl/checks.ts'
import { checkBodyHead, readText } from '../body.ts'
import { type Api, bodyLimits, type Exchange, type Handler } from '../exchange.ts'
import { levelProblem } from '../levels.ts'
import { readMachine } from '../read-machine.ts'
import { isRefusal, type Refusal } from '../refusal.ts'
import type { Reply } from '../reply.ts'
import { checkReserved } from '../reserved.ts'
import { jsonReply, textReply, withIndex } from './consul-reply.ts'
import { readOptions } from './read-options.ts'
import { rowJson } from './rows-json.ts'
import { parseTransaction } from './txn-body.ts'
import { write } from './written.ts'

/** `PUT /v1/txn`: all steps in one entry of the log, or none; one that only reads needs no entry. */
export const putTxn: Handler = async (api, exchange) => {
  const { incoming, head } = exchange
  const refusal = checkBodyHead(head)
  if (refusal !== null) return refusal
  const body = await readText(incoming, bodyLimits(api))
  if (isRefusal(body)) return body
  const operations = parseTransaction(body.text, api.limits)
  if (isRefusal(operations)) return operations
  const reserved = checkReserved(api, incoming, operations.map(scopeOf))
  if (reserved !== null) return reserved
  const denied = checkSteps(exchange, operations)
  if (denied !== null) return denied
  if (!operations.some(isWrite)) return readOnly(api, exchange, operations)
  const written = await write(api, exchange, { kind: 'transaction', operations })
  if (written.kind === 'failed') return written.reply
  return jsonReply(api.node.status(), { ...render(exchange, written.answer), shown: written.index })
}

function scopeOf({ verb, key }: Operation): Scope {
  return { kind: verb.endsWith('-tree') ? 'prefix' : 'key', bytes: key }
}

async function readOnly(
  api: Api,
  exchange: Exchange,
  operations: readonly Operation[],
): Promise<Reply | Refusal> {
  const options = readOptions(exchange)
  if (isRefusal(options)) return options
  const problem = await levelProblem(api, options)
  if (problem !== null) return textReply(problem, api.node.status())
  const denied = checkSteps(exchange, operations)
  if (denied !== null) return denied
  const { outcome, applied } = await readMachine(api, { kind: 'transaction', operations })
  const node = api.node.status()
  const { index } = applied
  return withIndex(jsonReply(node, render(exchange, outcome)), node, { index, applied: index })
}

function render(exchange: Exchange, outcome: KvOutcome): { status: number; text: string } {
  if (outcome.kind === 'failures') {
    const errors = outcome.failures.map(failureJson).join(',')
    return { status: 409, text: `{"Results":null,"Errors":[${errors}]}` }
  }
  const readable = readableTo(exchange)
  const rows = outcome.rows.filter(({ key }) => readable === null || readable(key))
  const results = rows.map(row => `{"KV":${rowJson(row)}}`).join(',')
  return { status: 200, text: `{"Results":[${results}],"Errors":null}` }
}

function failureJson({ step, reason }: Failure): string {
  return JSON.stringify({ OpIndex: step, What: inWords(reason) })
}

function inWords(reason: Reason): string {
  switch (reason) {
    case 'stale-index':
      return 'the index is not the modify index of the key'
    case 'locked':
      return 'the lock is held by another session'
    case 'lock-delay':
      return 'the lock was held by a session that ended: its lock delay is not over'
    case 'not-locked':
      return 'the lock is not held, or not by this session'
    case 'no-key':
      return 'the key does not exist'
    case 'key-exists':
      return 'the key exists'
    case 'other-session':
      return 'the key is not locked by this session'
    case 'no-session':
      return 'invalid session: there is none of this id'
    case 'too-many':
      return `more than ${TREE_KEYS_MAX} keys begin with it: delete longer prefixes`
    case 'too-large':
      return `an answer has at most ${ROWS_BYTES_MAX} bytes of rows`
    default:
      return unreachable(reason)
  }
}
