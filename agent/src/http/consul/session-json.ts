import type { Behavior, NewSession, Session } from '../../machine/kv/session.ts'
import { type Refusal, refuse } from '../refusal.ts'
import { parseDuration } from './duration.ts'
import { members } from './txn-body.ts'

/** As in Consul: how long a session may ask to live without being renewed, ms. */
const TTL_MS = { min: 10_000, max: 24 * 3_600_000 }
const LOCK_DELAY_MS = { default: 15_000, max: 60_000 }
/** A bare number below it is seconds, any other nanoseconds: clients of Consul send both. */
const SECONDS_MAX = 1_000
const NAME_MAX = 255
/** The check that Consul gives every session of its own accord. */
const OWN_CHECK = 'serfHealth'

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
  const behavior = body.get('behavior') || 'release'
  if (!isBehavior(behavior)) return bad('Behavior is release or delete')
  const ttlMs = ttlOf(body.get('ttl') ?? '')
  if (ttlMs === null) return bad('TTL is a duration from 10s to 24h')
  const lockDelayMs = lockDelayOf(body.get('lockdelay') ?? null)
  if (lockDelayMs === null) return bad('LockDelay is a duration up to 60s')
  const name = body.get('name') ?? ''
  const place = body.get('node') || node
  if (!isName(name) || !isName(place)) return bad('Name and Node are short strings')
  const checks = ['checks', 'nodechecks', 'servicechecks'].flatMap(list => body.get(list) ?? [])
  if (checks.some(check => check !== OWN_CHECK)) return bad('there are no health checks here')
  return { id, name, node: place, behavior, ttlMs, lockDelayMs }
}

function parseObject(text: string): ReadonlyMap<string, unknown> | null {
  if (text.trim() === '') return new Map()
  try {
    const value: unknown = JSON.parse(text)
    const object = typeof value === 'object' && value !== null && !Array.isArray(value)
    return object ? members(value) : null
  } catch {
    return null
  }
}

function ttlOf(value: unknown): number | null {
  if (value === '' || value === '0s') return 0
  const ms = typeof value === 'string' ? parseDuration(value) : null
  return ms !== null && ms >= TTL_MS.min && ms <= TTL_MS.max ? Math.round(ms) : null
}

/** Longer ones are cut to the longest, as in Consul. */
function lockDelayOf(value: unknown): number | null {
  if (value === null || value === '') return LOCK_DELAY_MS.default
  const ms =
    typeof value === 'string'
      ? parseDuration(value)
      : typeof value === 'number' && value >= 0
        ? value < SECONDS_MAX
          ? value * 1_000
          : value / 1e6
        : null
  return ms === null ? null : Math.round(Math.min(ms, LOCK_DELAY_MS.max))
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value.length <= NAME_MAX && !/\p{Surrogate}/u.test(value)
}

function isBehavior(value: unknown): value is Behavior {
  return value === 'release' || value === 'delete'
}

function bad(detail: string): Refusal {
  return refuse(400, 'BAD_BODY', `Request decode failed: ${detail}`)
}
