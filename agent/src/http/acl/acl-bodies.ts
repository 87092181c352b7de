import { z } from 'zod'
import type { Acl, Token } from '../../acl/acl.ts'
import { tokenFields } from '../../acl/token.ts'
import { parseDuration } from '../consul/duration.ts'

const TTL_MS_MIN = 1_000
/** Ten years. */
const TTL_MS_MAX = 3650 * 24 * 3_600_000

const ttl = z.string().refine(text => {
  const ms = parseDuration(text)
  return ms !== null && ms >= TTL_MS_MIN && ms <= TTL_MS_MAX
}, 'a duration like 30m or 24h')

/** The body of `PUT /v1/cluster/acl`. */
export const aclSwitch = z.strictObject({ enabled: z.boolean() })
/** The body of `POST /v1/cluster/acl/tokens`. */
export const newToken = tokenFields.extend({ ttl: ttl.optional() })
/** The body of `PUT /v1/cluster/acl/tokens/<accessor>`: what is not given stays. */
export const tokenChange = z.strictObject({
  name: tokenFields.shape.name.unwrap().optional(),
  role: tokenFields.shape.role.unwrap().optional(),
  rules: tokenFields.shape.rules.unwrap().optional(),
  ttl: ttl.optional(),
})

/** When it ends, Unix ms; null: never. */
export function expiryOf({ nowMs }: Pick<Acl, 'nowMs'>, text: string | undefined): number | null {
  const ms = text === undefined ? null : parseDuration(text)
  return ms === null ? null : Math.round(nowMs + ms)
}

/** As operators see a token. */
export function shown(acl: Acl, token: Token): object {
  const { accessor, name, role, rules, expiresAt, createIndex, modifyIndex } = token
  const expires = expiresAt === null ? null : new Date(expiresAt).toISOString()
  const expired = acl.hasExpired(token)
  return { accessor, name, role, rules, expires, expired, createIndex, modifyIndex }
}
