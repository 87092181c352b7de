import type { Acl, Rights } from '../../acl/acl.ts'
import { hashOf } from '../../acl/token.ts'
import type { Head } from '../head.ts'
import type { Resource, Target } from '../raw-target.ts'
import { type Refusal, refuse } from '../refusal.ts'
import { needOf } from './policy.ts'

/** Who asks. What they may do is asked for again whenever it matters: it can change while they wait. */
export interface Caller {
  /** Now; why not, where their token is not good, or not any more. */
  rights(): Rights | Refusal
}

/** Nobody was told whether tokens count. */
const NOT_KNOWN = refuse(503, 'NOT_SERVING', 'this node cannot tell yet who may do what')
const BAD_TOKEN: Refusal = {
  ...refuse(401, 'BAD_TOKEN', 'this token is unknown here, was taken back, or has expired'),
  challenge: true,
}
const TOKEN_NEEDED: Refusal = {
  ...refuse(401, 'TOKEN_NEEDED', 'Permission denied: send a token, as X-Consul-Token or Bearer'),
  challenge: true,
}
const FORBIDDEN = refuse(403, 'FORBIDDEN', 'Permission denied: this token has no right to it')
const IN_QUERY = refuse(
  400,
  'TOKEN_IN_QUERY',
  'a token is sent as X-Consul-Token or Authorization: Bearer; in a query it ends up in logs. Take this one back',
)

/** @param query of the target */
export function callerOf(acl: Acl, { token }: Head, query: Target['query']): Caller {
  const hash = token === null ? null : hashOf(token)
  return {
    rights() {
      try {
        if (!acl.enabled) return acl.rightsOf(null) as Rights
        if (query.has('token')) return IN_QUERY
        if (token !== null && hash === null) return BAD_TOKEN
        const rights = acl.rightsOf(hash)
        return typeof rights === 'string' ? BAD_TOKEN : rights
      } catch {
        return NOT_KNOWN
      }
    },
  }
}

/** What everybody who asks for it needs. Of keys the route knows more. */
export function checkNeed(
  caller: Caller,
  { resource, query }: Pick<Target, 'resource' | 'query'>,
  method: string,
): Refusal | null {
  const need = needOf(resource, method)
  if (need === 'open' || (need === 'brief' && isBrief(resource, query))) return null
  const rights = caller.rights()
  if ('kind' in rights) return rights
  if (need === 'keys' || rights.all) return null
  if (need === 'token' || need === 'brief') return rights.accessor === null ? denied(rights) : null
  return need === 'monitor' && rights.role === 'monitor' ? null : denied(rights)
}

/** Nobody who has said who they are is asked to say it again. */
export function denied({ accessor }: Rights): Refusal {
  return accessor === null ? TOKEN_NEEDED : FORBIDDEN
}

/** Who leads, as gateways ask it. */
function isBrief(resource: Resource, query: Target['query']): boolean {
  return resource === 'status' && query.get('brief') === '1'
}
