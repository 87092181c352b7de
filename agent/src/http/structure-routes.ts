import { checkReadAll } from './acl/checks.ts'
import { checkBodyHead } from './body.ts'
import type { Handler } from './exchange.ts'
import { readJson } from './join-routes.ts'
import { isRefusal, refuse } from './refusal.ts'
import { contentReply, uncached } from './reply.ts'
import { structureReport } from './structure-view.ts'

const OFF = refuse(
  409,
  'STRUCTURE_OFF',
  'structure.enabled is false here: these keys are not reserved, and must not become configuration',
)

/**
 * `PUT /v1/cluster/structure`: this node's companion tells how far it is, and is told which keys it has to follow: only
 * where it may read all of them, or it would take what it is not shown for gone.
 */
export const putStructure: Handler = async (api, exchange) => {
  const { head, incoming } = exchange
  const prefix = Buffer.from(api.structure?.prefix ?? '')
  const refusal = checkReadAll(exchange, prefix) ?? checkBodyHead(head)
  if (refusal !== null) return refusal
  const body = await readJson(api, incoming)
  if (isRefusal(body)) return body
  if (api.structure === null) return OFF
  const { success, data } = structureReport.safeParse(body.value)
  if (!success) return refuse(400, 'BAD_BODY', 'the body is not what a companion tells')
  api.structure.tell(data)
  const text = JSON.stringify({ prefix: api.structure.prefix })
  return uncached(contentReply({ type: 'application/json', text }, api.node.status()))
}
