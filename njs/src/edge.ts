/** Reads that nginx answers by itself, and how its memory is filled. What they decide is in dict.ts and batch.ts. */

import { mayAnswer, sendsToken } from './acl.ts'
import { type Batch, takeBatch } from './batch.ts'
import { aboutOf, kvHeaders, rawHeaders, rawOf, rowJson } from './consul-row.ts'
import {
  canonical,
  type Dict,
  exact,
  type Found,
  readWatermark,
  textOf,
  WATERMARK,
} from './dict.ts'
import { clearUpTo, highest, note, type Pending } from './pending.ts'

/** Longer keys are not told to be missing: the agent may refuse them. */
const MISS_LENGTH_MAX = 128
/** A segment `.` or `..`, which no key has. */
const DOT_SEGMENT = /(?:^|%2F)\.\.?(?:$|%2F)/
const INDEX = /^[0-9]{1,15}$/

/** What an answer has beside what every one has. */
interface Content {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Buffer
}

/** Null where only the agent can tell. */
type ContentOf = (r: NginxHTTPRequest, spelling: string, found: Found) => Content | null

/** `GET /key/<k>?stale` and `?max_stale=`: from this memory where it is young enough, else from the agent. */
function get(r: NginxHTTPRequest): void {
  serve(r, { path: '/key/', maxAge: r.variables.raft_max_stale, contentOf: keyContent })
}

/** The same of `GET /v1/kv/<k>`, also with `raw`. */
function getKv(r: NginxHTTPRequest): void {
  serve(r, { path: '/v1/kv/', maxAge: r.variables.raft_kv_max_stale, contentOf: kvContent })
}

interface Route {
  /** what comes before the key */
  readonly path: string
  /** ms */
  readonly maxAge: string | undefined
  readonly contentOf: ContentOf
}

function serve(r: NginxHTTPRequest, route: Route): void {
  const asked = r.headersIn['X-Raft-Min-Index']
  const wanted = asked !== undefined && INDEX.test(asked) ? Number(asked) : 0
  const written = highest(pending())
  const need = Math.max(wanted, written)
  if ((asked !== undefined && wanted === 0) || !isPlainRead(r)) {
    askAgent(r, asked)
    return
  }
  const target = r.variables.request_uri as string
  const spelling = canonical(target.slice(route.path.length, target.indexOf('?')))
  const maxAgeMs = Number(route.maxAge)
  const found = exact(store(), spelling, { maxAgeMs: maxAgeMs, minIndex: need, now: Date.now() })
  const shows = found !== null && mayAnswer(found.open, spelling, sendsToken(r.headersIn))
  const content = found === null || !shows ? null : route.contentOf(r, spelling, found)
  if (found === null || content === null) {
    askAgent(r, String(Math.max(need, shown())))
    return
  }
  const out = r.headersOut
  out['Content-Type'] = 'application/json'
  out['X-Raft-Index'] = String(found.index)
  out['X-Raft-Node'] = found.node
  out['X-Raft-Served-By'] = 'nginx'
  out['X-Raft-Staleness-Ms'] = String(found.ageMs)
  const names = Object.keys(content.headers)
  for (let at = 0; at < names.length; at++) {
    const name = names[at] as string
    out[name] = content.headers[name] as string
  }
  r.return(200, content.body)
}

/** `POST /apply` from this node's agent, on a socket that nobody else reaches. */
function apply(r: NginxHTTPRequest): void {
  let batch: Batch
  try {
    batch = JSON.parse(r.requestText as string) as Batch
  } catch {
    r.return(400, '{"error":"not a batch"}\n')
    return
  }
  const verdict = takeBatch(store(), batch, () => Date.now())
  if (verdict.status === 200 && (batch.kind === 'delta' || batch.kind === 'last')) {
    clearUpTo(pending(), verdict.index)
  }
  r.return(verdict.status, `${JSON.stringify(verdict)}\n`)
}

/**
 * Header filter of every forwarded write: before its answer leaves, readers here are told which entry they have to see.
 */
function wrote(r: NginxHTTPRequest): void {
  if (r.status < 200 || r.status > 299) return
  const index = r.headersOut['X-Raft-Index']
  if (typeof index !== 'string' || !INDEX.test(index)) return
  const mark = readWatermark(store().get(WATERMARK))
  const seen = mark?.whole && mark.index === mark.next && mark.index >= Number(index)
  if (seen) return
  try {
    note(pending(), Number(index))
  } catch {
    // No room to remember it: then nothing is served from here until the agent has copied all of it again.
    store().delete(WATERMARK)
  }
}

function store(): Dict {
  return ngx.shared.raft_kv as unknown as Dict
}

function pending(): Pending {
  return ngx.shared.raft_pending as unknown as Pending
}

/** What a reader here may have been shown: an agent that was restarted can be behind it for a moment. */
function shown(): number {
  const mark = readWatermark(store().get(WATERMARK))
  return mark?.whole ? mark.index : 0
}

function isPlainRead(r: NginxHTTPRequest): boolean {
  if (r.method !== 'GET' && r.method !== 'HEAD') return false
  // a body, or an expectation, is the agent's to refuse
  const length = r.headersIn['Content-Length']
  return (length === undefined || length === '0') && r.headersIn['Transfer-Encoding'] === undefined
}

/** As the agent writes it, byte for byte. */
function keyContent(_: NginxHTTPRequest, spelling: string, found: Found): Content | null {
  if (found.row === undefined && !mayBeKey(spelling)) return null
  const value = found.row === undefined ? '' : textOf(found.row)
  const key = keyOf(spelling)
  if (value === undefined || key === null) return null
  return { headers: {}, body: `{${JSON.stringify(key)}:${JSON.stringify(value)}}` }
}

/** That there is no such key only the agent can tell: since when there is none is not known here. */
function kvContent(r: NginxHTTPRequest, spelling: string, found: Found): Content | null {
  const row = found.row
  const about = row === undefined ? null : aboutOf(row)
  if (row === undefined || about === null || r.headersIn['If-None-Match'] !== undefined) return null
  const headers = kvHeaders(about, found.ageMs)
  if (/(?:^|&)raw/.test(r.variables.args || '')) {
    return { headers: Object.assign(headers, rawHeaders(about)), body: rawOf(row) }
  }
  const key = keyOf(spelling)
  return key === null ? null : { headers: headers, body: `[${rowJson(key, row, about)}]` }
}

/** Null where it is no text. */
function keyOf(spelling: string): string | null {
  try {
    return decodeURIComponent(spelling)
  } catch {
    return null
  }
}

function mayBeKey(spelling: string): boolean {
  return spelling.length <= MISS_LENGTH_MAX && !DOT_SEGMENT.test(spelling)
}

/** @param index that its answer must not be behind; undefined: any */
function askAgent(r: NginxHTTPRequest, index: string | undefined): void {
  r.variables.raft_min_index = index === undefined || index === '0' ? '' : index
  r.internalRedirect('@raft_read')
}

export default { get, getKv, apply, wrote }
