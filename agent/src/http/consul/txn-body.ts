import { z } from 'zod'
import { type Operation, operation, VERBS, type Verb } from '../../machine/kv/operation.ts'
import { checkKey } from '../key-rules.ts'
import { isRefusal, type Refusal, refuse } from '../refusal.ts'
import { isWellFormed, members, named } from './names.ts'

/** As in Consul. */
export const OPERATIONS_MAX = 128

interface Limits {
  readonly keyBytesMax: number
  readonly valueBytesMax: number
}

/** Verbs whose key is a prefix, which may be empty. */
const TREES: ReadonlySet<string> = new Set<Verb>(['get-tree', 'delete-tree'])
const WITH_INDEX: ReadonlySet<string> = new Set<Verb>(['cas', 'check-index', 'delete-cas'])
const WITH_SESSION: ReadonlySet<string> = new Set<Verb>(['lock', 'unlock', 'check-session'])
export const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const SESSION = /^[!-~]{0,255}$/
/** A member whose number JSON.parse would round. In a well-formed text no string can hold the bare quotes. */
const LONG_FLAGS = /("Flags"\s*:\s*)([0-9]{16,20})(?=\s*[,}])/gi
const FLAGS_END = 1n << 64n

/** An unsigned number of 64 bits; `parseJson` hands over a long one as its digits. */
export const flagsNumber = z
  .unknown()
  .refine(value => toFlags(value) !== null)
  .meta({ type: 'integer', minimum: 0, maximum: 2 ** 64 - 2048 })

const KV = z.looseObject({
  Verb: z.enum(VERBS),
  Key: z
    .string()
    .refine(isWellFormed)
    .nullish()
    .describe('Of a tree a prefix, which may be empty.'),
  Value: z.string().regex(BASE64).nullish().describe('base64'),
  Flags: flagsNumber.nullish(),
  Index: z.int().min(0).nullish(),
  Session: z.string().regex(SESSION).nullish(),
})
const STEP = z.looseObject({ KV })
const FIELDS = Object.keys(KV.shape)

/** The body of `PUT /v1/txn`, its names as Consul documents them. */
export const transaction = z.array(STEP).min(1).max(OPERATIONS_MAX)

/** What is wrong with a step whose field is not as `KV` has it. */
const PROBLEMS: Readonly<Record<string, string>> = {
  Verb: 'unknown verb',
  Key: 'Key is a string',
  Value: 'Value is base64',
  Flags: 'Flags is an unsigned number of 64 bits',
  Index: 'Index is a whole number below 2^53',
  Session: 'Session is an id',
}

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
  const [kind, ...more] = [...members(item)].filter(([, value]) => value !== null)
  if (kind === undefined || more.length > 0) return bad('exactly one kind of operation, such as KV')
  if (['node', 'service', 'check'].includes(kind[0])) {
    return refuse(501, 'NOT_IMPLEMENTED', 'there is no catalog here: only KV operations')
  }
  if (kind[0] !== 'kv') return bad('the kinds of operations are KV')
  const { success, data, error } = STEP.safeParse({ KV: named(kind[1], FIELDS) })
  if (!success) return bad(PROBLEMS[String(error.issues[0]?.path[1])] ?? 'not an operation')
  return toOperation(data.KV, limits)
}

function toOperation(step: z.infer<typeof KV>, limits: Limits): Operation | Refusal {
  const verb = step.Verb
  const key = Buffer.from(step.Key ?? '')
  const rule = key.length === 0 && TREES.has(verb) ? null : checkKey(key, limits.keyBytesMax)
  if (rule !== null) return rule
  const value = Buffer.from(step.Value ?? '', 'base64')
  if (value.length > limits.valueBytesMax) {
    return refuse(413, 'VALUE_TOO_LARGE', `Value exceeds ${limits.valueBytesMax} byte limit`)
  }
  return operation(verb, key, {
    value,
    flags: toFlags(step.Flags ?? 0) ?? 0n,
    index: WITH_INDEX.has(verb) ? (step.Index ?? 0) : 0,
    session: WITH_SESSION.has(verb) ? (step.Session ?? '') : '',
  })
}

function toFlags(value: unknown): bigint | null {
  if (typeof value === 'number')
    return Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : null
  if (typeof value !== 'string' || !/^[0-9]{16,20}$/.test(value)) return null
  return BigInt(value) < FLAGS_END ? BigInt(value) : null
}

function bad(detail: string): Refusal {
  return refuse(400, 'BAD_BODY', `Failed to parse body: ${detail}`)
}
