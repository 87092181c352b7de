import { type Operation, operation, type Verb } from '../../machine/kv/operation.ts'
import type { Exchange } from '../exchange.ts'
import type { Head } from '../head.ts'
import { isRefusal, type Refusal, refuse } from '../refusal.ts'
import { parseDuration } from './duration.ts'
import { wholeNumber } from './read-options.ts'

/** How long a key may ask to live, ms: a second, and thirty days. */
const TTL_MS = { min: 1_000, max: 30 * 24 * 3_600_000 }
const CONTENT_TYPE_MAX = 255
/** What curl says of every body, whatever it is. */
const NO_TYPE = 'application/x-www-form-urlencoded'
const FLAGS_END = 1n << 64n

/** What a PUT asks for, without its value. */
export function putStep(exchange: Exchange): Operation | Refusal {
  const { target, head } = exchange
  const flags = flagsOf(target.query.get('flags') ?? '0')
  if (typeof flags === 'object') return flags
  const way = wayOf(exchange)
  if (isRefusal(way)) return way
  const ttlMs = ttlOf(target.query.get('ttl'))
  if (typeof ttlMs === 'object') return ttlMs
  if (ttlMs > 0 && way.session !== '') return conflicting('ttl with a lock')
  const contentType = contentTypeOf(head)
  if (typeof contentType === 'object') return contentType
  const { verb, index, session } = way
  return operation(verb, target.key, { flags, index, session, ttlMs, contentType })
}

interface Way {
  readonly verb: Verb
  readonly index: number
  readonly session: string
}

/** Which of the four ways to write. */
function wayOf(exchange: Exchange): Way | Refusal {
  const { query } = exchange.target
  const index = expectedIndex(exchange)
  if (index !== null && typeof index === 'object') return index
  const [acquire, release] = [query.get('acquire'), query.get('release')]
  const given = [index ?? undefined, acquire, release].filter(one => one !== undefined)
  if (given.length > 1) return conflicting('only one of cas, acquire and release')
  const session = acquire ?? release
  if (session === undefined)
    return { verb: index === null ? 'set' : 'cas', index: index ?? 0, session: '' }
  if (!/^[!-~]{1,255}$/.test(session)) return refuse(400, 'BAD_SESSION', 'invalid session')
  return { verb: acquire === undefined ? 'unlock' : 'lock', index: 0, session }
}

function flagsOf(text: string): bigint | Refusal {
  if (/^[0-9]{1,20}$/.test(text) && BigInt(text) < FLAGS_END) return BigInt(text)
  return refuse(400, 'BAD_FLAGS', 'Invalid flags: an unsigned number of 64 bits')
}

/** The index of `cas`, or of a precondition: `If-None-Match: *` wants no such key. Null: any. */
export function expectedIndex({ target, head }: Exchange): number | null | Refusal {
  const { ifMatch, ifNoneMatch } = head
  const cas = target.query.get('cas')
  if (
    [cas, ifMatch ?? undefined, ifNoneMatch ?? undefined].filter(one => one !== undefined).length >
    1
  ) {
    return conflicting('only one of cas, If-Match and If-None-Match')
  }
  if (cas !== undefined) return wholeNumber(cas) ?? refuse(400, 'BAD_INDEX', 'Invalid cas index')
  if (ifNoneMatch !== null) {
    if (ifNoneMatch === '*') return 0
    return refuse(400, 'BAD_PRECONDITION', 'If-None-Match of a write is *')
  }
  if (ifMatch === null) return null
  const index = wholeNumber(/^"([0-9]+)"$/.exec(ifMatch)?.[1] ?? '')
  if (index !== null && index > 0) return index
  return refuse(400, 'BAD_PRECONDITION', 'If-Match is one ETag as a read gave it')
}

function ttlOf(text: string | undefined): number | Refusal {
  if (text === undefined) return 0
  const ms = parseDuration(text)
  if (ms !== null && ms >= TTL_MS.min && ms <= TTL_MS.max) return Math.round(ms)
  return refuse(400, 'BAD_TTL', 'Invalid ttl: a duration from 1s to 720h')
}

function contentTypeOf({ contentType }: Head): string | Refusal {
  if (contentType === null || contentType.toLowerCase() === NO_TYPE) return ''
  if (contentType.length <= CONTENT_TYPE_MAX) return contentType
  return refuse(
    400,
    'BAD_CONTENT_TYPE',
    `a Content-Type has at most ${CONTENT_TYPE_MAX} characters`,
  )
}

export function conflicting(what: string): Refusal {
  return refuse(400, 'CONFLICTING', `Conflicting flags: ${what}`)
}
