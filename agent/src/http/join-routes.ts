import { z } from 'zod'
import { parseHostPort } from '../lib/host-port.ts'
import type { MembershipChange } from '../node/node-api.ts'
import { asNodeId, NODE_ID } from '../raft/types.ts'
import { checkBodyHead, readText } from './body.ts'
import { carryOut } from './cluster-changes.ts'
import type { Api, Handler } from './exchange.ts'
import type { Incoming } from './fast/whole-request.ts'
import { isRefusal, type Refusal, refuse } from './refusal.ts'

const SHAPE =
  'the body is {"id": a name, "addr": host:port of its Raft port}, and "voter": false for a node that only reads'

/** The body of `POST /join`. */
export const joining = z.strictObject({
  id: z.string().regex(NODE_ID),
  addr: z.string().max(255).refine(isDialled),
  voter: z.boolean().default(true),
})

/**
 * `POST /join {"id","addr"[,"voter":false]}`: a new member, fed from now on, which votes once it has
 * caught up. Asked again, nothing changes. Answered with the members, so that the new one knows whom
 * to talk to.
 */
export const postJoin: Handler = async (api, exchange) => {
  const { head, incoming } = exchange
  const refusal = checkBodyHead(head)
  if (refusal !== null) return refusal
  const text = await readJson(api, incoming)
  if (isRefusal(text)) return text
  const result = joining.safeParse(text.value)
  if (!result.success) return refuse(400, 'BAD_BODY', SHAPE)
  const { id, addr, voter } = result.data
  const change: MembershipChange = { kind: 'add', id: asNodeId(id), raftBind: addr, edge: !voter }
  return carryOut(api, exchange, change, JSON.stringify(result.data))
}

/** What a body says; undefined when it is empty. */
export async function readJson(
  api: Api,
  incoming: Incoming,
): Promise<{ readonly value: unknown } | Refusal> {
  const body = await readText(incoming, {
    bodies: api.bodies,
    bytesMax: api.limits.operatorBodyBytesMax,
  })
  if (isRefusal(body)) return body
  if (body.text === '') return { value: undefined }
  try {
    return { value: JSON.parse(body.text) }
  } catch {
    return refuse(400, 'BAD_BODY', 'the body is not JSON')
  }
}

function isDialled(text: string): boolean {
  const address = parseHostPort(text)
  return address !== null && address.host !== '' && address.port > 0
}
