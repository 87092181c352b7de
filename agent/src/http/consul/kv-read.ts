import type { AnswerTo, KvQuery } from '../../machine/kv/query.ts'
import type { ListedRow } from '../../machine/kv/row.ts'
import { NAMES_BYTES_MAX, ROWS_BYTES_MAX } from '../../machine/kv/tree-limits.ts'
import { checkRead, checkReadSome, readableTo } from '../acl/checks.ts'
import { readableNames } from '../acl/names.ts'
import type { Api, Exchange, Handler } from '../exchange.ts'
import { levelProblem } from '../levels.ts'
import { readMachine } from '../read-machine.ts'
import { isRefusal, type Refusal, refuse } from '../refusal.ts'
import type { Reply } from '../reply.ts'
import { jsonReply, TOO_MANY, textReply, withIndex } from './consul-reply.ts'
import { readOptions } from './read-options.ts'
import { keyJson, rowJson } from './rows-json.ts'
import { whenChanged } from './when-changed.ts'

type Names = AnswerTo<Extract<KvQuery, { kind: 'keys' }>>

/** `GET /v1/kv/<key>`, and what its parameters make of it. */
export const getKv: Handler = async (api, exchange) => {
  const { incoming } = exchange
  const options = readOptions(exchange)
  if (isRefusal(options)) return options
  const query = queryOf(exchange)
  if (isRefusal(query)) return query
  const denied = checkQuery(exchange, query)
  if (denied !== null) return denied
  const problem = await levelProblem(api, options)
  if (problem !== null) return textReply(problem, api.node.status())
  const scope =
    query.kind === 'rows' ? query.scope : { kind: 'prefix' as const, bytes: query.prefix }
  const answer = await whenChanged(api, { interest: scope, block: options.block, incoming }, () =>
    look(api, exchange, query),
  )
  if (answer === null) return textReply(TOO_MANY, api.node.status())
  // It may have waited for minutes.
  const deniedSince = checkQuery(exchange, query)
  if (deniedSince !== null) return deniedSince
  const reply =
    answer.kind === 'keys'
      ? namesReply(api, exchange, answer)
      : rowsReply(api, exchange, answer.rows)
  const shown = { index: answer.index, applied: answer.applied.index }
  return withIndex(reply, api.node.status(), shown)
}

type Look = Extract<KvQuery, { kind: 'rows' | 'keys' }>
type Seen = AnswerTo<Look>

/** Of a whole prefix some may be readable: the rest is left out. */
function checkQuery(exchange: Exchange, query: Look): Refusal | null {
  if (query.kind === 'keys') return checkReadSome(exchange, query.prefix)
  const { kind, bytes } = query.scope
  return kind === 'key' ? checkRead(exchange, bytes) : checkReadSome(exchange, bytes)
}

/** What this node has, as far as it may be shown. */
async function look(api: Api, exchange: Exchange, query: Look): Promise<Seen> {
  const readable = readableTo(exchange)
  if (readable === null) return readMachine(api, query)
  if (query.kind === 'keys') {
    // A part of a name tells of keys that may not be shown.
    const whole = await readMachine(api, { ...query, separator: new Uint8Array(0) })
    const keys = whole.keys === null ? null : readableNames(whole.keys, readable, query)
    return { ...whole, keys }
  }
  const answer = await readMachine(api, query)
  const rows = answer.rows === null ? null : answer.rows.filter(({ key }) => readable(key))
  return { ...answer, rows }
}

function queryOf({ target }: Exchange): Look | Refusal {
  const { query, key } = target
  if (query.has('keys')) {
    return { kind: 'keys', prefix: key, separator: Buffer.from(query.get('separator') ?? '') }
  }
  if (query.has('recurse')) return { kind: 'rows', scope: { kind: 'prefix', bytes: key } }
  if (key.length === 0) return refuse(400, 'MISSING_KEY', 'Missing key name')
  return { kind: 'rows', scope: { kind: 'key', bytes: key } }
}

/** None at the root is an empty list, none behind a prefix a 404, as in Consul. */
function namesReply(api: Api, { target }: Exchange, { keys }: Names): Reply {
  const node = api.node.status()
  if (keys === null) return textReply(TOO_MANY_NAMES, node)
  if (keys.length === 0 && target.key.length > 0) return missing(api)
  return jsonReply(node, { text: `[${keys.map(keyJson).join(',')}]` })
}

const TOO_LARGE = {
  status: 413,
  detail: `more than ${ROWS_BYTES_MAX} bytes begin with it: ask for ?keys, or for longer prefixes`,
}

const TOO_MANY_NAMES = {
  status: 413,
  detail: `more than ${NAMES_BYTES_MAX} bytes of names begin with it: ask with a separator, or for longer prefixes`,
}

function rowsReply(api: Api, { target, head }: Exchange, rows: readonly ListedRow[] | null): Reply {
  if (rows === null) return textReply(TOO_LARGE, api.node.status())
  const [only] = rows
  if (only === undefined) return missing(api)
  const node = api.node.status()
  if (target.query.has('recurse')) {
    return jsonReply(node, { text: `[${rows.map(rowJson).join(',')}]` })
  }
  const etag = `"${only.modifyIndex}"`
  const reply =
    head.ifNoneMatch === etag
      ? jsonReply(node, { status: 304, text: '' })
      : target.query.has('raw')
        ? rawReply(api, only)
        : jsonReply(node, { text: `[${rowJson(only)}]` })
  Object.assign(reply.headers, { ETag: etag })
  return reply
}

/** The value as it was written. Whatever its writer called it, a browser is not to run it. */
function rawReply(api: Api, row: ListedRow): Reply {
  const { headers } = jsonReply(api.node.status(), { text: '' })
  headers['Content-Type'] = row.contentType === '' ? 'application/octet-stream' : row.contentType
  headers['Content-Length'] = String(row.value.length)
  headers['X-Content-Type-Options'] = 'nosniff'
  headers['Content-Security-Policy'] = 'sandbox'
  return { status: 200, headers, body: row.value }
}

function missing(api: Api): Reply {
  return jsonReply(api.node.status(), { status: 404, text: '' })
}
