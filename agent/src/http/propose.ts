import type { Outcome } from '../node/outcome.ts'
import { authorOf } from './acl/checks.ts'
import type { Api, Exchange } from './exchange.ts'
import { idempotencyOf } from './levels.ts'

/** Through the log; once, however often it is sent, when the request has an Idempotency-Key. */
export function propose(
  api: Api,
  { head, caller }: Pick<Exchange, 'head' | 'caller'>,
  command: Uint8Array,
): Promise<Outcome> {
  const { idempotencyKey } = head
  const author = idempotencyKey === null ? null : authorOf({ caller })
  return api.node.propose(command, idempotencyOf(idempotencyKey, command, author))
}
