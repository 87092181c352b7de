import { z } from 'zod'
import type { NewSession, Session } from '../../machine/kv/session.ts'
import { type Refusal, refuse } from '../refusal.ts'
import { DURATION, parseDuration } from './duration.ts'
import { isWellFormed, named } from './names.ts'

/** As in Consul: how long a session may ask to live without being renewed, ms. */
const TTL_MS = { min: 10_000, max: 24 * 3_600_000 }
const LOCK_DELAY_MS = { default: 15_000, max: 60_000 }
/** A bare number below it is seconds, any other nanoseconds: clients of Consul send both. */
const SECONDS_MAX = 1_000
const NAME_MAX = 255
/** The check that Consul gives every session of its own accord. */
const OWN_CHECK = 'serfHealth'

const shortText = z.string().max(NAME_MAX).refine(isWellFormed)
const ownChecks = z.array(z.literal(OWN_CHECK)).nullish()

/** The body of `PUT /v1/session/create`, its names as Consul documents them. */
export const sessionBody = z.looseObject({
  Behavior: z.literal(['release', 'delete', '']).nullish(),
  TTL: z
    .union([z.literal(['', '0s']), z.string().regex(DURATION).refine(isTtl)])
    .nullish()
    .describe('From 10s to 24h; without it, it never ends by itself.'),
  LockDelay: z
    .union([z.literal(['', '0']), z.string().regex(DURATION), z.number().min(0)])
    .nullish()
    .describe('At most 60s. A bare number below 1000 is seconds, any other nanoseconds.'),
  Name: shortText.nullish(),
  Node: shortText.nullish(),
  Checks: ownChecks,
  NodeChecks: ownChecks,
  ServiceChecks: ownChecks,
})
const FIELDS = Object.keys(sessionBody.shape)

const NO_CHECKS = 'there are no health checks here'
const NO_NAME = 'Name and Node are short strings'
/** What is wrong with a body whose field is not as `sessionBody` has it. */
const PROBLEMS: Readonly<Record<string, string>> = {
  Behavior: 'Behavior is release or delete',
  TTL: 'TTL is a duration from 10s to 24h',
  LockDelay: 'LockDelay is a duration up to 60s',
  Name: NO_NAME,
  Node: NO_NAME,
  Checks: NO_CHECKS,
  NodeChecks: NO_CHECKS,
  ServiceChecks: NO_CHECKS,
}

/** What a session is shown as. */
export function sessionJson(session: Session): object {
  const { id, name, node, behavior, ttlMs, lockDelayMs, createIndex } = session
  return {
    ID: id,
    Name: name,
    Node: node,
    LockDelay: lockDelayMs * 1e6,
    Behavior: behavior,
    TTL: ttlMs === 0 ? '' : `${ttlMs / 1000}s`,
    NodeChecks: [],
    ServiceChecks: null,
    CreateIndex: createIndex,
    // Renewals do not change what others see of it.
    ModifyIndex: createIndex,
  }
}

/** A session as the body of `PUT /v1/session/create` asks for it; an empty body asks for nothing special. */
export function parseSession(
  text: string,
  { id, node }: Pick<NewSession, 'id' | 'node'>,
): NewSession | Refusal {
  const body = parseObject(text)
  if (body === null) return bad('a JSON object')
  const { success, data, error } = sessionBody.safeParse(named(body, FIELDS))
  if (!success) return bad(PROBLEMS[String(error.issues[0]?.path[0])] ?? 'a JSON object')
  return {
    id,
    name: data.Name ?? '',
    node: data.Node || node,
    behavior: data.Behavior || 'release',
    ttlMs: Math.round(parseDuration(data.TTL || '0s') ?? 0),
    lockDelayMs: lockDelayOf(data.LockDelay ?? ''),
  }
}

function parseObject(text: string): object | null {
  if (text.trim() === '') return {}
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && !Array.isArray(value) ? value : null
  } catch {
    return null
  }
}

function isTtl(text: string): boolean {
  const ms = parseDuration(text)
  return ms !== null && ms >= TTL_MS.min && ms <= TTL_MS.max
}

/** Longer ones are cut to the longest, as in Consul. */
function lockDelayOf(value: string | number): number {
  if (value === '') return LOCK_DELAY_MS.default
  const ms = typeof value === 'string' ? (parseDuration(value) ?? 0) : bareMs(value)
  return Math.round(Math.min(ms, LOCK_DELAY_MS.max))
}

function bareMs(number: number): number {
  return number < SECONDS_MAX ? number * 1_000 : number / 1e6
}

function bad(detail: string): Refusal {
  return refuse(400, 'BAD_BODY', `Request decode failed: ${detail}`)
}
