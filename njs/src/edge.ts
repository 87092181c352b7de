/** Reads that nginx answers by itself, and how its memory is filled. What they decide is in dict.ts and batch.ts. */

import { type Batch, takeBatch } from './batch.ts'
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

/** `GET /key/<k>?stale` and `?max_stale=`: from this memory where it is young enough, else from the agent. */
function get(r: NginxHTTPRequest): void {
  const asked = r.headersIn['X-Raft-Min-Index']
  const wanted = asked !== undefined && INDEX.test(asked) ? Number(asked) : 0
  const written = highest(pending())
  const need = Math.max(wanted, written)
  if ((asked !== undefined && wanted === 0) || !isPlainRead(r)) {
    askAgent(r, asked)
    return
  }
  const target = r.variables.request_uri as string
  const spelling = canonical(target.slice('/key/'.length, target.indexOf('?')))
  const maxAgeMs = Number(r.variables.raft_max_stale)
  const found = exact(store(), spelling, { maxAgeMs: maxAgeMs, minIndex: need, now: Date.now() })
  const body = found === null ? null : bodyOf(spelling, found)
  if (found === null || body === null) {
    askAgent(r, String(Math.max(need, shown())))
    return
  }
  r.headersOut['Content-Type'] = 'application/json'
  r.headersOut['X-Raft-Index'] = String(found.index)
  r.headersOut['X-Raft-Node'] = found.node
  r.headersOut['X-Raft-Served-By'] = 'nginx'
  r.headersOut['X-Raft-Staleness-Ms'] = String(found.ageMs)
  r.return(200, body)
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

/** As the agent writes it, byte for byte; null where only the agent can. */
function bodyOf(spelling: string, found: Found): string | null {
  if (found.row === undefined && !mayBeKey(spelling)) return null
  const value = found.row === undefined ? '' : textOf(found.row)
  if (value === undefined) return null
  try {
    const key = decodeURIComponent(spelling)
    return `{${JSON.stringify(key)}:${JSON.stringify(value)}}`
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

export default { get, apply, wrote }
