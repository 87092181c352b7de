import { type Refusal, refuse } from './refusal.ts'

/** The headers that decide something here. No other is read: what forwards claim of a client is not trusted. */
export interface Head {
  readonly contentType: string | null
  readonly contentEncoding: string | null
  /** Null: chunked, or no body. Node's parser has checked it. */
  readonly contentLength: number | null
  /** The client waits for 100 before it sends the body. */
  readonly expectsContinue: boolean
  /** `X-Raft-Min-Index`: the reader wants to see at least this entry. */
  readonly minIndex: number | null
  /** `Idempotency-Key`: names this request, so that it takes effect once. */
  readonly idempotencyKey: string | null
  /** `X-Consul-Token`, or `Authorization: Bearer`: as it came. Other schemes are not ours. */
  readonly token: string | null
  /** `X-Raft-Passed-On`: it came to another agent first. */
  readonly passedOn: boolean
  /** As it came; what it may be depends on the resource. The same for the next two. */
  readonly ifMatch: string | null
  readonly ifNoneMatch: string | null
  readonly lastEventId: string | null
}

type Own = Pick<
  Head,
  'minIndex' | 'idempotencyKey' | 'token' | 'ifMatch' | 'ifNoneMatch' | 'lastEventId'
>

export interface PlainHeaders {
  readonly contentType: string | null
  readonly contentLength: number
  /** Those that this API reads, each given once; null: none of them came. */
  readonly own: ReadonlyMap<HeaderName, string> | null
}

export interface HeadLine {
  readonly httpVersion: string
  /** Names and values by turns, as they came. */
  readonly rawHeaders: readonly string[]
}

export const NAMES = [
  'host',
  'content-type',
  'content-length',
  'content-encoding',
  'expect',
  'x-raft-min-index',
  'idempotency-key',
  'x-raft-passed-on',
  'if-match',
  'if-none-match',
  'last-event-id',
  'authorization',
  'x-consul-token',
] as const
export type HeaderName = (typeof NAMES)[number]
const BY_NAME: ReadonlyMap<string, HeaderName> = new Map(NAMES.map(name => [name, name]))
const LENGTHS: ReadonlySet<number> = new Set(NAMES.map(name => name.length))

const HOST = /^(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/
/** Printable ASCII without space; what a client draws for each request. */
export const IDEMPOTENCY_KEY = /^[!-~]{1,255}$/
const INDEX = /^[0-9]{1,16}$/
const BEARER = /^bearer +(\S*)$/i

/** Refuses what Node's parser lets pass: other versions, doubtful hosts, long headers, headers given twice. */
export function readHead(line: HeadLine, headBytesMax: number): Head | Refusal {
  if (line.httpVersion !== '1.1' && line.httpVersion !== '1.0') {
    return refuse(505, 'HTTP_VERSION', 'the versions spoken here are 1.1 and 1.0')
  }
  const found = collect(line.rawHeaders, headBytesMax / 2)
  if (!(found instanceof Map)) return found
  const host = found.get('host')
  if (host === undefined ? line.httpVersion === '1.1' : !HOST.test(host)) {
    return refuse(400, 'BAD_HOST', 'exactly one Host header, a name or an address')
  }
  const own = readOwn(found)
  if ('status' in own) return own
  // HTTP/1.0 has no expectations (RFC 9110, 10.1.1).
  const expect = line.httpVersion === '1.1' ? found.get('expect') : undefined
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') {
    return refuse(417, 'EXPECTATION', 'the only expectation met is 100-continue')
  }
  const contentLength = found.get('content-length')
  return {
    contentType: found.get('content-type') ?? null,
    contentEncoding: found.get('content-encoding') ?? null,
    contentLength: contentLength === undefined ? null : Number(contentLength),
    expectsContinue: expect !== undefined,
    passedOn: found.has('x-raft-passed-on'),
    ...own,
  }
}

const NO_OWN: Own = {
  minIndex: null,
  idempotencyKey: null,
  token: null,
  ifMatch: null,
  ifNoneMatch: null,
  lastEventId: null,
}

/** What a head that is well-formed beyond doubt says, and which of it is refused all the same. */
export function headOf({ contentType, contentLength, own: found }: PlainHeaders): Head | Refusal {
  const own = found === null ? NO_OWN : readOwn(found)
  if ('status' in own) return own
  return {
    contentType,
    contentEncoding: found?.get('content-encoding') ?? null,
    contentLength,
    expectsContinue: false,
    minIndex: own.minIndex,
    idempotencyKey: own.idempotencyKey,
    token: own.token,
    passedOn: found?.has('x-raft-passed-on') ?? false,
    ifMatch: own.ifMatch,
    ifNoneMatch: own.ifNoneMatch,
    lastEventId: own.lastEventId,
  }
}

function collect(raw: readonly string[], valueBytesMax: number): Map<HeaderName, string> | Refusal {
  const found = new Map<HeaderName, string>()
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] as string
    const value = raw[at + 1] as string
    if (name.length + value.length > valueBytesMax) {
      return refuse(431, 'HEADER_TOO_LARGE', `a header has at most ${valueBytesMax} bytes`)
    }
    if (!LENGTHS.has(name.length)) continue
    const known = BY_NAME.get(name.toLowerCase())
    if (known === undefined) continue
    if (found.has(known)) return refuse(400, 'BAD_HEADER', `more than one ${known} header`)
    found.set(known, value)
  }
  return found
}

function parseMinIndex(text: string | undefined): number | null | Refusal {
  if (text === undefined) return null
  const index = INDEX.test(text) ? Number(text) : Number.NaN
  if (Number.isSafeInteger(index)) return index
  return refuse(400, 'BAD_MIN_INDEX', 'X-Raft-Min-Index is a whole number below 2^53')
}

function parseToken(found: ReadonlyMap<HeaderName, string>): string | null | Refusal {
  const own = found.get('x-consul-token') || null
  const bearer = BEARER.exec(found.get('authorization') ?? '')?.[1] ?? null
  if (own === null || bearer === null || own === bearer) return own ?? bearer
  return refuse(400, 'BAD_HEADER', 'two tokens: which of them is meant, nobody knows')
}

/** The headers of this API itself. */
function readOwn(found: ReadonlyMap<HeaderName, string>): Own | Refusal {
  const minIndex = parseMinIndex(found.get('x-raft-min-index'))
  if (minIndex !== null && typeof minIndex === 'object') return minIndex
  const idempotencyKey = found.get('idempotency-key') ?? null
  if (idempotencyKey !== null && !IDEMPOTENCY_KEY.test(idempotencyKey)) {
    const detail = 'Idempotency-Key is 1 to 255 printable ASCII characters without spaces'
    return refuse(400, 'BAD_IDEMPOTENCY_KEY', detail)
  }
  const token = parseToken(found)
  if (token !== null && typeof token === 'object') return token
  return {
    minIndex,
    idempotencyKey,
    token,
    ifMatch: found.get('if-match') ?? null,
    ifNoneMatch: found.get('if-none-match') ?? null,
    lastEventId: found.get('last-event-id') ?? null,
  }
}
