import { type Operation, operation, VERBS, type Verb } from '../../machine/kv/operation.ts'
import { checkKey } from '../key-rules.ts'
import { isRefusal, type Refusal, refuse } from '../refusal.ts'

/** As in Consul. */
export const OPERATIONS_MAX = 128

interface Limits {
  readonly keyBytesMax: number
  readonly valueBytesMax: number
}

const KNOWN: ReadonlySet<string> = new Set(VERBS)
/** Verbs whose key is a prefix, which may be empty. */
const TREES: ReadonlySet<string> = new Set<Verb>(['get-tree', 'delete-tree'])
const WITH_INDEX: ReadonlySet<string> = new Set<Verb>(['cas', 'check-index', 'delete-cas'])
const WITH_SESSION: ReadonlySet<string> = new Set<Verb>(['lock', 'unlock', 'check-session'])
export const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const SESSION = /^[!-~]{0,255}$/
/** A member whose number JSON.parse would round. In a well-formed text no string can hold the bare quotes. */
const LONG_FLAGS = /("Flags"\s*:\s*)([0-9]{16,20})(?=\s*[,}])/gi
const LONE_SURROGATE = /\p{Surrogate}/u
const FLAGS_END = 1n << 64n

/** The steps of `[{"KV":{"Verb":…,"Key":…,"Value":<base64>,…}},…]`. Names are told apart without regard to case, as in Consul. */
export function parseTransaction(text: string, limits: Limits): readonly Operation[] | Refusal {
  const items = parseJson(text)
  if (!Array.isArray(items)) return bad('the body is a JSON array of operations')
  if (items.length === 0) return bad('a transaction has at least one operation')
  if (items.length > OPERATIONS_MAX) {
    const detail = `Transaction contains too many operations (${items.length} > ${OPERATIONS_MAX})`
    return refuse(413, 'TXN_TOO_LARGE', detail)
  }
  const operations: Operation[] = []
  for (const [at, item] of items.entries()) {
    const one = parseItem(item, limits)
    if (isRefusal(one)) return { ...one, detail: `operation ${at}: ${one.detail}` }
    operations.push(one)
  }
  return operations
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text.replace(LONG_FLAGS, '$1"$2"'))
  } catch {
    return null
  }
}

function parseItem(item: unknown, limits: Limits): Operation | Refusal {
  const kinds = members(item)
  const [kind, ...more] = [...kinds].filter(([, value]) => value !== null)
  if (kind === undefined || more.length > 0) return bad('exactly one kind of operation, such as KV')
  if (['node', 'service', 'check'].includes(kind[0])) {
    return refuse(501, 'NOT_IMPLEMENTED', 'there is no catalog here: only KV operations')
  }
  if (kind[0] !== 'kv') return bad('the kinds of operations are KV')
  return parseKv(members(kind[1]), limits)
}

function parseKv(fields: ReadonlyMap<string, unknown>, limits: Limits): Operation | Refusal {
  const verb = fields.get('verb')
  if (typeof verb !== 'string' || !isVerb(verb)) return bad('unknown verb')
  const key = decodeKey(fields.get('key') ?? '', verb, limits)
  if (isRefusal(key)) return key
  const value = decodeValue(fields.get('value'), limits)
  if (isRefusal(value)) return value
  const flags = flagsOf(fields.get('flags') ?? 0)
  if (flags === null) return bad('Flags is an unsigned number of 64 bits')
  const index = fields.get('index') ?? 0
  if (!isIndex(index)) return bad('Index is a whole number below 2^53')
  const session = fields.get('session') ?? ''
  if (typeof session !== 'string' || !SESSION.test(session)) return bad('Session is an id')
  return operation(verb, key, {
    value,
    flags,
    index: WITH_INDEX.has(verb) ? index : 0,
    session: WITH_SESSION.has(verb) ? session : '',
  })
}

function decodeKey(name: unknown, verb: Verb, limits: Limits): Buffer | Refusal {
  if (typeof name !== 'string' || LONE_SURROGATE.test(name)) return bad('Key is a string')
  const key = Buffer.from(name)
  if (key.length === 0 && TREES.has(verb)) return key
  return checkKey(key, limits.keyBytesMax) ?? key
}

function decodeValue(value: unknown, limits: Limits): Buffer | Refusal {
  if (value === null || value === undefined) return Buffer.alloc(0)
  if (typeof value !== 'string' || !BASE64.test(value)) return bad('Value is base64')
  const bytes = Buffer.from(value, 'base64')
  if (bytes.length <= limits.valueBytesMax) return bytes
  return refuse(413, 'VALUE_TOO_LARGE', `Value exceeds ${limits.valueBytesMax} byte limit`)
}

function flagsOf(value: unknown): bigint | null {
  if (isIndex(value)) return BigInt(value)
  if (typeof value !== 'string' || !/^[0-9]{16,20}$/.test(value)) return null
  return BigInt(value) < FLAGS_END ? BigInt(value) : null
}

function isIndex(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isVerb(text: string): text is Verb {
  return KNOWN.has(text)
}

/** Names in lower case; empty for what is no object. */
export function members(value: unknown): ReadonlyMap<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return new Map()
  return new Map(Object.entries(value).map(([name, one]) => [name.toLowerCase(), one]))
}

function bad(detail: string): Refusal {
  return refuse(400, 'BAD_BODY', `Failed to parse body: ${detail}`)
}
