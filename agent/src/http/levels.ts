import { createHash } from 'node:crypto'
import type { Idempotency } from '../machine/state-machine.ts'
import { asLogIndex } from '../raft/types.ts'
import type { Api } from './exchange.ts'
import { minIndexReply, outcomeReply, type Reply } from './reply.ts'

/** How much a reader asks for. */
export interface Level {
  /** `?consistent`: everything that was answered anywhere before this read began */
  readonly consistent: boolean
  /** `X-Raft-Min-Index`: at least this entry */
  readonly minIndex: number | null
}

/** Waits until this node may answer at that level. Null: it may; else why it cannot. */
export async function awaitLevel(
  { node, limits }: Pick<Api, 'node' | 'limits'>,
  { consistent, minIndex }: Level,
): Promise<Reply | null> {
  if (consistent) {
    const outcome = await node.linearizable(limits.consistentWaitMs)
    if (outcome.kind !== 'ready') return outcomeReply(outcome, node.status())
  }
  if (minIndex === null) return null
  const reached = await node.waitApplied(asLogIndex(minIndex), limits.minIndexWaitMs)
  return reached ? null : minIndexReply(node.status())
}

/** What makes a command take effect once; null when the request has no `Idempotency-Key`. */
export function idempotencyOf(key: string | null, command: Uint8Array): Idempotency | null {
  if (key === null) return null
  return { key, requestHash: createHash('sha256').update(command).digest() }
}
