import type { Outcome } from '../node/outcome.ts'
import type { Api } from './exchange.ts'
import type { Head } from './head.ts'
import { idempotencyOf } from './levels.ts'

/** Through the log; once, however often it is sent, when the request has an Idempotency-Key. */
export function propose(api: Api, head: Head, command: Uint8Array): Promise<Outcome> {
  return api.node.propose(command, idempotencyOf(head.idempotencyKey, command))
}
