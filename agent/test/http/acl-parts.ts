import type { NetConnectOpts } from 'node:net'
import type { Rule } from '../../src/acl/rules.ts'
import type { Role } from '../../src/acl/token.ts'
import type { Answer } from './raw-client.ts'
import { request as ask } from './raw-client.ts'

export interface Made {
  readonly accessor: string
  readonly secret: string
}

const ACL = '/v1/cluster/acl'

/** Tokens count from now on. */
export async function bootstrap(tcp: NetConnectOpts): Promise<Made> {
  return made(await ask(tcp, `POST ${ACL}/bootstrap`))
}

interface Wanted {
  readonly role?: Role
  readonly rules?: readonly Rule[]
  readonly ttl?: string
}

export async function create(tcp: NetConnectOpts, admin: string, wanted: Wanted): Promise<Made> {
  return made(await send(tcp, admin, { line: `POST ${ACL}/tokens`, body: JSON.stringify(wanted) }))
}

/** @param token null: none */
export function send(
  tcp: NetConnectOpts,
  token: string | null,
  { line, headers = [], body }: { line: string; headers?: readonly string[]; body?: string },
): Promise<Answer> {
  const own = token === null ? [] : [`X-Consul-Token: ${token}`]
  return ask(tcp, line, { headers: [...own, ...headers], ...(body !== undefined && { body }) })
}

function made(answer: Answer): Made {
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.body}`)
  return JSON.parse(answer.body) as Made
}
