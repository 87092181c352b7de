/**
 * What a request asks for, from its RAW target by a fixed table after one percent-decoding. Never
 * `new URL(target, base)`: it takes `//x/v1` for a host, resolves dot segments and throws on some input.
 */
import { CONSUL_METHODS, type ConsulResource, consulResource } from './consul/resources.ts'
import { checkKey, hasDotSegment } from './key-rules.ts'
import { percentDecode } from './percent.ts'
import { isRefusal, type Refusal, refuse } from './refusal.ts'

/** `unknown` is well-formed, but none of ours. */
export type Resource =
  | 'keys'
  | 'key'
  | 'status'
  | 'raft'
  | 'livez'
  | 'readyz'
  | 'join'
  | 'metrics'
  | 'openapi'
  | 'fsm'
  | 'members'
  | 'member'
  | 'promotion'
  | 'voters'
  | 'leadership'
  | 'backup'
  | 'structure'
  | 'watch'
  | 'acl-switch'
  | 'acl-bootstrap'
  | 'acl-tokens'
  | 'acl-token'
  | ConsulResource
  | 'unknown'

export interface Target {
  readonly kind: 'target'
  readonly resource: Resource
  /** As it came, without host and query. */
  readonly path: string
  /** The query as it came, with its question mark; empty when there is none. */
  readonly search: string
  /** Decoded; of a name given twice the first counts. */
  readonly query: ReadonlyMap<string, string>
  /** Of `/key/<k>` and `/v1/kv/<k>`, or the id at the end of a session's path; decoded once, empty otherwise. */
  readonly key: Uint8Array
}

export interface TargetLimits {
  readonly keyBytesMax: number
  readonly headBytesMax: number
}

const PAGES: ReadonlyMap<string, Resource> = new Map([
  ['/key', 'keys'],
  ['/status', 'status'],
  ['/raft', 'raft'],
  ['/livez', 'livez'],
  ['/readyz', 'readyz'],
  ['/join', 'join'],
  ['/metrics', 'metrics'],
  ['/v1/cluster/members', 'members'],
  ['/v1/cluster/voters', 'voters'],
  ['/v1/cluster/leader', 'leadership'],
  ['/v1/cluster/backup', 'backup'],
  ['/v1/cluster/structure', 'structure'],
  ['/v1/watch', 'watch'],
  ['/v1/cluster/acl', 'acl-switch'],
  ['/v1/cluster/acl/bootstrap', 'acl-bootstrap'],
  ['/v1/cluster/acl/tokens', 'acl-tokens'],
  ['/openapi.json', 'openapi'],
])
const MEMBER = /^\/v1\/cluster\/members\/[A-Za-z0-9._-]{1,64}(\/promote)?$/
const TOKEN = /^\/v1\/cluster\/acl\/tokens\/[a-z0-9-]{1,64}$/
const READ = 'GET, HEAD'
/** Methods of each resource, as `Allow` says them; null: not ours to say. */
export const METHODS: Readonly<Record<Resource, string | null>> = {
  keys: 'POST',
  key: 'GET, HEAD, DELETE',
  status: READ,
  raft: READ,
  livez: READ,
  readyz: READ,
  join: 'POST',
  metrics: READ,
  openapi: READ,
  // The machine that is plugged in says it.
  fsm: null,
  members: 'GET, HEAD, POST',
  member: 'DELETE',
  promotion: 'POST',
  voters: 'PUT',
  leadership: 'POST',
  // A HEAD would make a copy for nothing.
  backup: 'GET',
  structure: 'PUT',
  watch: READ,
  'acl-switch': 'GET, HEAD, PUT',
  'acl-bootstrap': 'POST',
  'acl-tokens': 'GET, HEAD, POST',
  'acl-token': 'GET, HEAD, PUT, DELETE',
  ...CONSUL_METHODS,
  unknown: null,
}

const KEY_PREFIX = '/key/'
const FSM_PREFIX = '/fsm/'
/** RFC 3986 pchar and the slash; everything else has to be percent-encoded. */
const PATH = /^[A-Za-z0-9._~!$&'()*+,;=:@/%-]*$/
const QUERY = /^[!"$-~]*$/
const ABSOLUTE = /^https?:\/\/(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?=[/?]|$)/i
const NO_QUERY: ReadonlyMap<string, string> = new Map()
const NO_KEY = new Uint8Array(0)

/** @param raw the target of the request line: origin form, or absolute form, whose host is ignored */
export function parseTarget(raw: string, limits: TargetLimits): Target | Refusal {
  if (raw.length > limits.headBytesMax / 2) {
    return refuse(414, 'TARGET_TOO_LONG', `a target has at most ${limits.headBytesMax / 2} bytes`)
  }
  const origin = raw.startsWith('/') ? raw : raw.replace(ABSOLUTE, '')
  if (!origin.startsWith('/')) return bad('a target is a path, or http://host/path')
  const mark = origin.indexOf('?')
  const path = mark === -1 ? origin : origin.slice(0, mark)
  if (!PATH.test(path)) return bad('a path has characters that must be percent-encoded')
  const query = mark === -1 ? NO_QUERY : parseQuery(origin.slice(mark + 1))
  if (query === null) return bad('the query is not well-formed')
  const parts = { path, query, search: mark === -1 ? '' : origin.slice(mark) }
  return path.startsWith(KEY_PREFIX) ? keyTarget(parts, limits) : pageTarget(parts, limits)
}

const METHODS_OF: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries(METHODS).flatMap(([resource, allow]) =>
    allow === null ? [] : [[resource, new Set(allow.split(', '))]],
  ),
)

/** 405 with the methods that the resource has; null when it has this one. */
export function checkMethod(resource: Resource, method: string): Refusal | null {
  const allow = METHODS[resource]
  if (allow === null || METHODS_OF.get(resource)?.has(method) === true) return null
  return { ...refuse(405, 'METHOD_NOT_ALLOWED', `this resource takes ${allow}`), allow }
}

type Parts = Pick<Target, 'path' | 'query' | 'search'>

function keyTarget(parts: Parts, limits: TargetLimits): Target | Refusal {
  const encoded = parts.path.slice(KEY_PREFIX.length)
  if (encoded.includes('/')) return bad('a slash inside a key is written %2F')
  const key = percentDecode(encoded)
  if (key === null) return bad('a percent sign is followed by two hexadecimal digits')
  const { path, query, search } = parts
  const refusal = checkKey(key, limits.keyBytesMax)
  return refusal ?? { kind: 'target', resource: 'key', path, query, search, key }
}

function pageTarget(parts: Parts, limits: TargetLimits): Target | Refusal {
  const { path } = parts
  // Spelt out in the table, so that there is nothing to decode.
  const known = PAGES.get(path)
  if (known !== undefined) return pageOf(known, parts)
  const decoded = percentDecode(path)
  if (decoded === null) return bad('a percent sign is followed by two hexadecimal digits')
  if (decoded.includes(0)) return bad('a path has no NUL')
  if (hasDotSegment(decoded)) return bad('a path has no segment "." or ".."')
  const first = path.slice(1).split('/', 1)[0]
  if (first === '' && path.length > 1) return bad('a path has one slash at its start')
  // Else /%6bey/a would be another spelling of a route, which a guard in front may not know.
  if (first?.includes('%')) return bad('the first segment of a path is written plainly')
  const page = resourceOf(path)
  if (page !== 'unknown') return pageOf(page, parts)
  const consul = consulResource(path, limits.keyBytesMax)
  return isRefusal(consul) ? consul : { kind: 'target', ...parts, ...consul }
}

function pageOf(resource: Resource, { path, query, search }: Parts): Target {
  return { kind: 'target', resource, path, query, search, key: NO_KEY }
}

function resourceOf(path: string): Resource {
  if (path.startsWith(FSM_PREFIX)) return 'fsm'
  if (TOKEN.test(path)) return 'acl-token'
  const match = MEMBER.exec(path)
  if (match === null) return 'unknown'
  return match[1] === undefined ? 'member' : 'promotion'
}

function parseQuery(text: string): ReadonlyMap<string, string> | null {
  if (!QUERY.test(text)) return null
  const query = new Map<string, string>()
  for (const part of text.split('&')) {
    const equals = part.indexOf('=')
    const name = decodeText(equals === -1 ? part : part.slice(0, equals))
    const value = decodeText(equals === -1 ? '' : part.slice(equals + 1))
    if (name === null || value === null) return null
    if (!query.has(name)) query.set(name, value)
  }
  return query
}

function decodeText(encoded: string): string | null {
  return encoded.includes('%') ? (percentDecode(encoded)?.toString('utf8') ?? null) : encoded
}

function bad(detail: string): Refusal {
  return refuse(400, 'BAD_TARGET', detail)
}
