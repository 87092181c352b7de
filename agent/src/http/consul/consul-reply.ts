import { assert } from '../../lib/assert.ts'
import type { NodeStatus } from '../../node/node-api.ts'
import type { Outcome } from '../../node/outcome.ts'
import { raftHeaders } from '../headers.ts'
import { outcomeProblem, type Problem, type Reply } from '../reply.ts'

/** Answers in Consul's manner: JSON, `true` or `false`, and errors as one line of text. */

/** Of those who wait for changes. */
export const TOO_MANY = { status: 429, detail: 'too many wait for changes already' }

interface Json {
  readonly status?: number
  readonly text: string
  /** index of the entry that the answer shows */
  readonly shown?: number
}

export function jsonReply(node: NodeStatus, { status = 200, text, shown }: Json): Reply {
  const headers = raftHeaders(node, shown)
  headers['Content-Type'] = 'application/json'
  headers['Content-Length'] = String(Buffer.byteLength(text))
  headers['Cache-Control'] = 'no-store'
  return { status, headers, body: text }
}

/** @param node null: nothing is known of it */
export function textReply(
  { status, detail }: Pick<Problem, 'status' | 'detail'>,
  node: NodeStatus | null,
): Reply {
  const headers = node === null ? { 'X-Raft-Served-By': 'agent' } : raftHeaders(node)
  headers['Content-Type'] = 'text/plain; charset=utf-8'
  headers['Content-Length'] = String(Buffer.byteLength(detail))
  headers['Cache-Control'] = 'no-store'
  if (status === 503 || status === 429) headers['Retry-After'] = '1'
  return { status, headers, body: detail }
}

/** A write that was not carried out. */
export function failedReply(outcome: Outcome, node: NodeStatus): Reply {
  const problem = outcomeProblem(outcome)
  assert(problem !== null, 'a write that was carried out has not failed')
  const leader = outcome.kind === 'not-leader' ? (outcome.leader ?? node.leader) : node.leader
  return textReply(problem, { ...node, leader })
}

interface Shown {
  /** what a blocking query gives back as its `index` */
  readonly index: number
  readonly applied: number
}

/** What Consul's clients look for on every read. */
export function withIndex(reply: Reply, node: NodeStatus, { index, applied }: Shown): Reply {
  const { headers } = reply
  headers['X-Raft-Index'] = String(applied)
  // 0 would make a client ask again and again without waiting.
  headers['X-Consul-Index'] = String(Math.max(1, index))
  headers['X-Consul-KnownLeader'] = String(node.leader !== null)
  headers['X-Consul-LastContact'] = String(
    node.role === 'leader' ? 0 : Math.ceil(node.stalenessMs ?? node.uptimeMs),
  )
  return reply
}
