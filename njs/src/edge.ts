/**
 * Reads that nginx answers by itself. What they decide is in dict.ts. The njs engine runs all that is at the top level of
 * this bundle for every request, so it has nothing that reads do not need; how the memory is filled is edge-fill.ts.
 */

import { mayAnswer, sendsToken } from './acl.ts'
import { aboutOf, putKvHeaders, putRawHeaders, rawOf, rowJson } from './consul-row.ts'
import { canonical, exact, type Found, indexOf, isWhole, textOf, WATERMARK } from './dict.ts'
import { highest } from './pending.ts'
import { pending, store } from './zones.ts'

/** Longer keys are not told to be missing: the agent may refuse them. */
const MISS_LENGTH_MAX = 128
/** A segment `.` or `..`, which no key has. */
const DOT_SEGMENT = /(?:^|%2F)\.\.?(?:$|%2F)/
const INDEX = /^[0-9]{1,15}$/

/** The body, once its headers are set; null, and none are, where only the agent can tell. */
type Answer = (r: NginxHTTPRequest, spelling: string, found: Found) => string | Buffer | null

/** `GET /key/<k>?stale` and `?max_stale=`: from this memory where it is young enough, else from the agent. */
function get(r: NginxHTTPRequest): void {
  serve(r, { path: '/key/', maxAge: r.variables.raft_max_stale, answer: keyAnswer })
}

/** The same of `GET /v1/kv/<k>`, also with `raw`. */
function getKv(r: NginxHTTPRequest): void {
  serve(r, { path: '/v1/kv/', maxAge: r.variables.raft_kv_max_stale, answer: kvAnswer })
}

interface Route {
  /** what comes before the key */
  readonly path: string
  /** ms */
  readonly maxAge: string | undefined
  readonly answer: Answer
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
  const body = found === null || !shows ? null : route.answer(r, spelling, found)
  if (body === null) askAgent(r, String(Math.max(need, shown())))
  else r.return(200, body)
}

function putHeaders(out: NginxHeadersOut, found: Found): void {
  out['Content-Type'] = 'application/json'
  out['X-Raft-Index'] = String(found.index)
  out['X-Raft-Node'] = found.node
  out['X-Raft-Served-By'] = 'nginx'
  out['X-Raft-Staleness-Ms'] = String(found.ageMs)
}

/** What a reader here may have been shown: an agent that was restarted can be behind it for a moment. */
function shown(): number {
  const mark = store().get(WATERMARK)
  return isWhole(mark) ? indexOf(mark) : 0
}

function isPlainRead(r: NginxHTTPRequest): boolean {
  if (r.method !== 'GET' && r.method !== 'HEAD') return false
  // a body, or an expectation, is the agent's to refuse
  const length = r.headersIn['Content-Length']
  return (length === undefined || length === '0') && r.headersIn['Transfer-Encoding'] === undefined
}

/** As the agent writes it, byte for byte. */
function keyAnswer(r: NginxHTTPRequest, spelling: string, found: Found): string | null {
  if (found.row === undefined && !mayBeKey(spelling)) return null
  const value = found.row === undefined ? '' : textOf(found.row)
  const key = keyOf(spelling)
  if (value === undefined || key === null) return null
  putHeaders(r.headersOut, found)
  return `{${JSON.stringify(key)}:${JSON.stringify(value)}}`
}

/** That there is no such key only the agent can tell: since when there is none is not known here. */
function kvAnswer(r: NginxHTTPRequest, spelling: string, found: Found): string | Buffer | null {
  const row = found.row
  const about = row === undefined ? null : aboutOf(row)
  if (row === undefined || about === null || r.headersIn['If-None-Match'] !== undefined) return null
  const raw = /(?:^|&)raw/.test(r.variables.args || '')
  const key = raw ? '' : keyOf(spelling)
  if (key === null) return null
  const out = r.headersOut
  putHeaders(out, found)
  putKvHeaders(out, about, found.ageMs)
  if (!raw) return `[${rowJson(key, row, about)}]`
  putRawHeaders(out, about)
  return rawOf(row)
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

export default { get, getKv }
