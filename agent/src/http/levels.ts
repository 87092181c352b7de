import { createHash } from 'node:crypto'
import type { Idempotency } from '../machine/state-machine.ts'
import type { NodeStatus } from '../node/node-api.ts'
import { asLogIndex } from '../raft/types.ts'
import type { Api } from './exchange.ts'
import { notServingProblem, OUTCOMES, type Problem, problemReply, type TextReply } from './reply.ts'

/** How much a reader asks for. */
export interface Level {
  /** `?consistent`: everything that was answered anywhere before this read began (thesis §6.4) */
  readonly consistent: boolean
  /** `X-Raft-Min-Index`: at least this entry */
  readonly minIndex: number | null
  /** `?max_stale`: what this node knows must not be older, ms */
  readonly maxStaleMs: number | null
}

const TOO_EARLY: Problem = {
  status: 504,
  code: 'MIN_INDEX_NOT_REACHED',
  detail: 'this node has not applied the entry of X-Raft-Min-Index in time',
  retryable: true,
}
const TOO_STALE: Problem = {
  status: 503,
  code: 'TOO_STALE',
  detail: 'what this node knows is older than max_stale allows',
  retryable: true,
}

/** Waits until this node may answer at that level. Null: it may; else why it cannot. */
export async function levelProblem(
  { node, limits }: Pick<Api, 'node' | 'limits'>,
  { consistent, minIndex, maxStaleMs }: Level,
): Promise<Problem | null> {
  if (consistent) {
    const outcome = await node.linearizable(limits.consistentWaitMs)
    if (outcome.kind !== 'ready') return refusedRead(node.status(), outcome.kind)
  }
  if (minIndex !== null) {
    const reached = await node.waitApplied(asLogIndex(minIndex), limits.minIndexWaitMs)
    if (!reached) return TOO_EARLY
  }
  if (maxStaleMs === null) return null
  const { stalenessMs } = node.status()
  return stalenessMs === null || stalenessMs > maxStaleMs ? TOO_STALE : null
}

/** A node whose machine is not trusted is refused by its own core, with nothing said of why. */
function refusedRead({ quarantine }: NodeStatus, kind: 'no-leader'): Problem {
  return quarantine === null ? OUTCOMES[kind] : notServingProblem(`this node is ${quarantine}`)
}

/** `levelProblem`, as an answer. */
export async function awaitLevel(
  api: Pick<Api, 'node' | 'limits'>,
  level: Level,
): Promise<TextReply | null> {
  const { node, limits } = api
  if (level.consistent && level.minIndex === null && level.maxStaleMs === null) {
    const { kind } = await node.linearizable(limits.consistentWaitMs)
    if (kind === 'ready') return null
    const status = node.status()
    return problemReply(refusedRead(status, kind), status)
  }
  const problem = await levelProblem(api, level)
  return problem === null ? null : problemReply(problem, node.status())
}

/**
 * What makes a command take effect once; null when the request has no `Idempotency-Key`.
 * @param author whose token it came with: the same from another is another request
 */
export function idempotencyOf(
  key: string | null,
  command: Uint8Array,
  author: string | null = null,
): Idempotency | null {
  if (key === null) return null
  const request = createHash('sha256').update(command)
  if (author !== null) request.update(`\0${author}`)
  return { key, requestHash: request.digest() }
}
