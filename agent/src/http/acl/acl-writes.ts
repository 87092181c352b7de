import type { z } from 'zod'
import { type Acl, type Token, tokenKey } from '../../acl/acl.ts'
import { encodeToken, hashOf, newAccessor, newSecret, type StoredToken } from '../../acl/token.ts'
import { assert } from '../../lib/assert.ts'
import { decodeOutcome } from '../../machine/kv/answer.ts'
import { encodeCommand } from '../../machine/kv/command.ts'
import { type Operation, operation } from '../../machine/kv/operation.ts'
import type { Api, Exchange } from '../exchange.ts'
import { readJson } from '../join-routes.ts'
import { passOn } from '../pass-on.ts'
import { isRefusal, type Refusal, refuse } from '../refusal.ts'
import { outcomeReply, type Reply } from '../reply.ts'

/** How the leader changes tokens: it alone has all of those that were answered. */

export const CHANGED = refuse(409, 'CONFLICT', 'somebody else was faster; nothing happened')

/** Not answered here. */
interface Elsewhere {
  readonly reply: Reply | Refusal
}

/** What a request for the leader says, where this node leads; else the answer. */
export async function bodyOf<T>(
  api: Api,
  exchange: Exchange,
  { schema, shape }: { readonly schema: z.ZodType<T>; readonly shape: string },
): Promise<{ readonly value: T } | Elsewhere> {
  const body = await readJson(api, exchange.incoming)
  if (isRefusal(body)) return { reply: body }
  const parsed = schema.safeParse(body.value ?? {})
  if (!parsed.success) return { reply: refuse(400, 'BAD_BODY', shape) }
  const reply = await askLeader(api, exchange, JSON.stringify(body.value ?? {}))
  return reply === null ? { value: parsed.data } : { reply }
}

/** The leader's answer; null where this node leads, or nobody is known to: then the log says so. */
export async function askLeader(api: Api, exchange: Exchange, body: string): Promise<Reply | null> {
  const node = api.node.status()
  if (node.role === 'leader' || node.leader === null) return null
  const { leader } = node
  return (await passOn(api, exchange, body)) ?? outcomeReply({ kind: 'not-leader', leader }, node)
}

/** All steps in one entry. Null: they are carried out. */
export async function carryOut(
  api: Api,
  operations: readonly Operation[],
): Promise<Reply | Refusal | null> {
  const outcome = await api.node.propose(encodeCommand({ kind: 'transaction', operations }), null)
  if (outcome.kind !== 'applied' || outcome.result.kind !== 'done') {
    return outcomeReply(outcome, api.node.status())
  }
  const { value } = outcome.result
  assert(value !== null, 'a transaction has an answer')
  return decodeOutcome(value).kind === 'failures' ? CHANGED : null
}

/** Null: none has this accessor. */
export function find({ acl }: Api, accessor: string): Token | null {
  return acl.tokens.find(token => token.accessor === accessor) ?? null
}

/** Whether without this one nobody could change tokens any more. */
export function isLastAdmin(acl: Acl, accessor: string): boolean {
  const admins = lastingAdmins(acl)
  return acl.enabled && admins.length === 1 && admins[0]?.accessor === accessor
}

export function lastingAdmins({ tokens }: Acl): readonly Token[] {
  return tokens.filter(({ role, expiresAt }) => role === 'admin' && expiresAt === null)
}

interface Drawn {
  readonly accessor: string
  readonly secret: string
  readonly step: Operation
}

/** A token with a new secret, which is in no other place than the answer. */
export function draw(acl: Acl, fields: Omit<StoredToken, 'version' | 'hash'>): Drawn {
  const [accessor, secret] = [newAccessor(), newSecret()]
  const hash = hashOf(secret)
  assert(hash !== null, 'a secret that was drawn is well-formed')
  const step = writing(acl, { accessor, token: { version: 1, hash, ...fields }, index: 0 })
  return { accessor, secret, step }
}

interface Writing {
  readonly accessor: string
  readonly token: StoredToken
  /** what its modify index has to be; 0: there is none yet */
  readonly index: number
}

/** One that ends is refused from then on; its row goes some time later, as every key's that lives for a while only. */
export function writing(acl: Acl, { accessor, token, index }: Writing): Operation {
  const { expiresAt } = token
  const ttlMs = expiresAt === null ? 0 : Math.max(1, Math.ceil(expiresAt - acl.nowMs))
  return operation('cas', tokenKey(accessor), { value: encodeToken(token), index, ttlMs })
}
