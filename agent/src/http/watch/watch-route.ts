import type { ServerResponse } from 'node:http'
import { checkReadSome, readableTo } from '../acl/checks.ts'
import type { Api, Exchange } from '../exchange.ts'
import { raftHeaders } from '../headers.ts'
import { checkKey } from '../key-rules.ts'
import { percentDecode } from '../percent.ts'
import { isRefusal, type Refusal, refuse } from '../refusal.ts'
import { checkReserved } from '../reserved.ts'

interface Wanted {
  readonly prefix: Uint8Array
  /** null: from now on */
  readonly since: number | null
}

/**
 * `GET /v1/watch?prefix=&since=`: every change below the prefix after the index, in the order of the
 * log, once each, for as long as the client stays. Null once it is being served.
 */
export function serveWatch(api: Api, exchange: Exchange, outgoing: ServerResponse): Refusal | null {
  const { feed, limits, watches, node, closing } = api
  const wanted = parseWanted(exchange, limits.keyBytesMax)
  if (isRefusal(wanted)) return wanted
  const scope = { kind: 'prefix' as const, bytes: wanted.prefix }
  const reserved = checkReserved(api, exchange.incoming, [scope])
  if (reserved !== null) return reserved
  const denied = checkReadSome(exchange, wanted.prefix)
  if (denied !== null) return denied
  if (closing.aborted) return refuse(503, 'CLOSING', 'this agent is stopping')
  if (feed.listening >= limits.followersMax) {
    return refuse(429, 'TOO_MANY_WATCHES', 'too many wait for changes already')
  }
  const { quarantine } = node.status()
  if (quarantine !== null) return refuse(503, 'NOT_SERVING', `this node is ${quarantine}`)
  const after = wanted.since ?? feed.last
  if (after < feed.since) {
    const detail = `what was changed before index ${feed.since} is no longer kept here: read the keys anew, and watch from X-Raft-Index on`
    return refuse(410, 'COMPACTED', detail)
  }
  outgoing.writeHead(200, {
    ...raftHeaders(node.status(), feed.last),
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-store',
    'X-Accel-Buffering': 'no',
  })
  if (exchange.incoming.method === 'HEAD') outgoing.end()
  else {
    const { prefix } = wanted
    const permit = () =>
      checkReadSome(exchange, prefix) === null ? readableTo(exchange) : 'nothing'
    watches.add({ outgoing, prefix, after, permit })
  }
  return null
}

function parseWanted({ target, head }: Exchange, keyBytesMax: number): Wanted | Refusal {
  const prefix = percentDecode(rawParameter(target.search, 'prefix')) ?? new Uint8Array(0)
  const rule = prefix.length === 0 ? null : checkKey(prefix, keyBytesMax)
  if (rule !== null) return rule
  const given = head.lastEventId ?? target.query.get('since')
  if (given === undefined) return { prefix, since: null }
  const since = /^[0-9]{1,16}$/.test(given) ? Number(given) : Number.NaN
  if (Number.isSafeInteger(since)) return { prefix, since }
  return refuse(400, 'BAD_INDEX', 'since and Last-Event-ID are whole numbers below 2^53')
}

/** A prefix is bytes, which the query as text may not hold. */
function rawParameter(search: string, name: string): string {
  for (const part of search.slice(1).split('&')) {
    if (part.startsWith(`${name}=`)) return part.slice(name.length + 1)
  }
  return ''
}
