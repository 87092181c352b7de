/** The only place where outcomes and refusals become statuses, headers and bodies. */
import { STATUS_CODES } from 'node:http'
import { unreachable } from '../lib/assert.ts'
import type { NodeStatus } from '../node/node-api.ts'
import type { Outcome } from '../node/outcome.ts'
import { type Headers, raftHeaders } from './headers.ts'
import type { Refusal } from './refusal.ts'

/** An answer, complete: with its Content-Length. HEAD sends it without the body. */
export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly body: string | Uint8Array
}

export interface TextReply extends Reply {
  readonly body: string
}

export interface Content {
  readonly type:
    | 'application/json'
    | 'application/problem+json'
    | 'text/plain; charset=utf-8'
    | 'text/plain; version=0.0.4; charset=utf-8'
  readonly text: string
}

/** An RFC 9457 problem. */
export interface Problem {
  readonly status: number
  readonly code: string
  readonly detail: string
  /** The same request may be sent again as it is: nothing happened. */
  readonly retryable: boolean
}

export const OUTCOMES = {
  'not-leader': {
    status: 421,
    code: 'NOT_LEADER',
    detail: 'another node leads; nothing happened here',
    retryable: true,
  },
  'no-leader': {
    status: 503,
    code: 'NO_LEADER',
    detail: 'an election is under way; nothing happened',
    retryable: true,
  },
  overloaded: {
    status: 503,
    code: 'OVERLOADED',
    detail: 'too much is waiting already; nothing happened',
    retryable: true,
  },
  'no-room': {
    status: 503,
    code: 'NO_SPACE',
    detail: "the leader's disk is nearly full; nothing happened",
    retryable: true,
  },
  unknown: {
    status: 504,
    code: 'COMMIT_UNKNOWN',
    detail: 'not committed in time; it may still happen',
    retryable: false,
  },
} as const satisfies Record<Exclude<Outcome['kind'], 'applied'>, Problem>

/** A read of a machine that is not to be relied on. */
export function notServingProblem(detail: string): Problem {
  return { status: 503, code: 'NOT_SERVING', detail, retryable: true }
}

/** What a write's answer is. */
export function outcomeReply(outcome: Outcome, node: NodeStatus): TextReply {
  const problem = outcomeProblem(outcome)
  if (problem === null) {
    return emptyReply(node, outcome.kind === 'applied' ? outcome.position.index : node.appliedIndex)
  }
  const leader = outcome.kind === 'not-leader' ? (outcome.leader ?? node.leader) : node.leader
  return problemReply(problem, { ...node, leader })
}

/**
 * Why a write has no good answer; null: it was carried out. A leader that is not known cannot be
 * followed: that is 503, not 421.
 */
export function outcomeProblem(outcome: Outcome): Problem | null {
  switch (outcome.kind) {
    case 'applied': {
      if (outcome.result.kind === 'done') return null
      const { code } = outcome.result
      const detail =
        code === 'KEY_REUSED'
          ? 'this Idempotency-Key was used for another request; nothing happened'
          : 'the state machine refused the command'
      return { status: 422, code, detail, retryable: false }
    }
    case 'not-leader':
      return outcome.leader === null ? OUTCOMES['no-leader'] : OUTCOMES['not-leader']
    case 'no-leader':
    case 'overloaded':
    case 'no-room':
    case 'unknown':
      return OUTCOMES[outcome.kind]
    default:
      return unreachable(outcome)
  }
}

/** 200 without a body. */
export function emptyReply(node: NodeStatus, shown: number): TextReply {
  const headers = raftHeaders(node, shown)
  headers['Cache-Control'] = 'no-store'
  headers['Content-Length'] = '0'
  return { status: 200, headers, body: '' }
}

/** No `Cache-Control`: what must not be kept is given one by `uncached`. */
export function contentReply(content: Content, node: NodeStatus, shown?: number): Reply {
  return withContent(200, raftHeaders(node, shown), content)
}

export function uncached<R extends Reply>(reply: R): R {
  reply.headers['Cache-Control'] = 'no-store'
  return reply
}

/** @param node null: nothing is known of it, as when it could not be asked */
export function problemReply(problem: Problem, node: NodeStatus | null): TextReply {
  const { status, code, detail, retryable } = problem
  const leader = node?.members.find(member => member.id === node.leader)
  const body = {
    type: 'about:blank',
    title: STATUS_CODES[status],
    status,
    code,
    detail,
    leader: leader === undefined ? null : { id: leader.id, address: leader.address },
    retryable,
  }
  const content: Content = { type: 'application/problem+json', text: `${JSON.stringify(body)}\n` }
  const reply = uncached(withContent(status, headersOf(node), content))
  if (status === 503 || status === 429) reply.headers['Retry-After'] = '1'
  return reply
}

/** For Hono; the hot routes write a reply as it is. */
export function toResponse(reply: Reply): Response {
  return new Response(reply.body === '' ? null : reply.body, {
    status: reply.status,
    headers: reply.headers,
  })
}

/** For probes: plain text, 200 or 503. */
export function healthReply(text: string, healthy: boolean, node: NodeStatus | null): Reply {
  const content: Content = { type: 'text/plain; charset=utf-8', text: `${text}\n` }
  const reply = uncached(withContent(healthy ? 200 : 503, headersOf(node), content))
  if (!healthy) reply.headers['Retry-After'] = '1'
  return reply
}

/** A refusal's answer. A body that is left unread closes the connection: see `abandonBody`. */
export function refusalReply(refusal: Refusal, node: NodeStatus | null, closes = false): Reply {
  const retryable = refusal.status === 429 || refusal.status === 503
  return withRefusalHeaders(problemReply({ ...refusal, retryable }, node), refusal, closes)
}

export function withRefusalHeaders(reply: Reply, refusal: Refusal, closes: boolean): Reply {
  if (refusal.challenge) Object.assign(reply.headers, { 'WWW-Authenticate': 'Bearer' })
  if (refusal.allow !== undefined) Object.assign(reply.headers, { Allow: refusal.allow })
  if (closes) Object.assign(reply.headers, { Connection: 'close' })
  return reply
}

/** Our own fault; what it was stands in the log only. */
export function faultReply(node: NodeStatus | null): Reply {
  const detail = 'an internal error; the log of this agent names it'
  return problemReply({ status: 500, code: 'INTERNAL', detail, retryable: false }, node)
}

function headersOf(node: NodeStatus | null): Headers {
  return node === null ? { 'X-Raft-Served-By': 'agent' } : raftHeaders(node)
}

function withContent(status: number, headers: Headers, content: Content): TextReply {
  headers['Content-Type'] = content.type
  headers['Content-Length'] = String(Buffer.byteLength(content.text))
  return { status, headers, body: content.text }
}
