import { hash, randomBytes, randomUUID } from 'node:crypto'
import { z } from 'zod'
import { ACCESS } from './rules.ts'

/** What a token is good for beside its rules: `monitor` for what is measured, `admin` for everything. */
export const ROLES = ['client', 'monitor', 'admin'] as const
export type Role = (typeof ROLES)[number]

/** The rights of whoever sends no token. It has no secret, and no role but `client`. */
export const ANONYMOUS = 'anonymous'

const RULES_MAX = 64

const rule = z.strictObject({
  prefix: z
    .string()
    .max(512)
    .regex(/^[^\0]*$/, 'a prefix has no NUL'),
  access: z.enum(ACCESS),
})

/** What an operator says of a token. */
export const tokenFields = z.strictObject({
  name: z.string().max(255).default(''),
  role: z.enum(ROLES).default('client'),
  rules: z.array(rule).max(RULES_MAX).default([]),
})
export type TokenFields = z.infer<typeof tokenFields>

/** As it is stored. */
const stored = tokenFields.extend({
  version: z.literal(1),
  /** of the secret: SHA-256, in hexadecimal; empty: it has none */
  hash: z.string(),
  /** Unix ms; null: never */
  expiresAt: z.number().nullable(),
})
export type StoredToken = z.infer<typeof stored>

const theSwitch = z.strictObject({ version: z.literal(1), enabled: z.boolean() })

/** 256 bits, so that nobody finds one by trying: a plain hash of it tells nothing, and no slow one is needed. */
const SECRET_BYTES = 32
const SECRET = /^[A-Za-z0-9_-]{43}$/

export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url')
}

export function newAccessor(): string {
  return randomUUID()
}

/** What is kept of a secret. Null: this cannot be one. */
export function hashOf(secret: string): string | null {
  return SECRET.test(secret) ? hash('sha256', secret, 'hex') : null
}

export function encodeToken(token: StoredToken): Buffer {
  return Buffer.from(JSON.stringify(token))
}

/** Null where it is none that this version understands: it gives no rights then. */
export function decodeToken(bytes: Uint8Array): StoredToken | null {
  return decode(stored, bytes)
}

export function encodeSwitch(enabled: boolean): Buffer {
  return Buffer.from(JSON.stringify({ version: 1, enabled }))
}

/** What cannot be understood counts as on: then nothing is open. */
export function decodeSwitch(bytes: Uint8Array): boolean {
  return decode(theSwitch, bytes)?.enabled ?? true
}

function decode<T>(schema: z.ZodType<T>, bytes: Uint8Array): T | null {
  try {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
    return schema.safeParse(JSON.parse(text)).data ?? null
  } catch {
    return null
  }
}
