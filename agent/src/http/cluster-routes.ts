import { z } from 'zod'
import type { NodeStatus } from '../node/node-api.ts'
import type { TransferOutcome } from '../node/outcome.ts'
import { asNodeId, NODE_ID, type NodeId } from '../raft/types.ts'
import { carryOut, membersReply } from './cluster-changes.ts'
import type { Handler } from './exchange.ts'
import { readJson } from './join-routes.ts'
import { passOn } from './pass-on.ts'
import { isRefusal, refuse } from './refusal.ts'
import { contentReply, outcomeReply, problemReply, type Reply, uncached } from './reply.ts'

const name = z.string().regex(NODE_ID)
/** The body of `PUT /v1/cluster/voters`. */
export const voterList = z.strictObject({ voters: z.array(name).min(1).max(64) })
/** The body of `POST /v1/cluster/leader`. */
export const successor = z.strictObject({ id: name.optional() }).default({})

const STILL_THERE = refuse(
  409,
  'CONNECTED',
  'this member is connected and runs: to remove it all the same, ask without its incarnation',
)
const NO_MEMBER = refuse(404, 'NOT_FOUND', 'no member has this name')

/** `GET /v1/cluster/members`: as this node knows them. */
export const getMembers: Handler = async api => membersReply(api.node.status())

/**
 * `DELETE /v1/cluster/members/<id>`: it is not fed any more and does not vote; gone already is 200 too. With
 * `?incarnation=` only that data directory leaves, unless it is in use; 200 says that it is no member in what the
 * cluster has now.
 */
export const deleteMember: Handler = async (api, exchange) => {
  const { path, query } = exchange.target
  const id = memberIn(path)
  const incarnation = query.get('incarnation')
  if (id === null) return NO_MEMBER
  if (incarnation === undefined) return carryOut(api, exchange, { kind: 'remove', id })
  // The disk of a member that runs is not given up; somebody else has a copy of it, maybe.
  const { links } = api.node.status()
  if (links.some(({ peer, connected }) => peer === id && connected)) return STILL_THERE
  // A leader that was deposed without knowing it might tell of a removal that was undone since.
  const { kind } = await api.node.linearizable(api.limits.consistentWaitMs)
  if (kind !== 'ready') return outcomeReply({ kind }, api.node.status())
  return carryOut(api, exchange, { kind: 'remove', id, incarnation })
}

/** `POST /v1/cluster/members/<id>/promote`: a learner votes now, caught up or not. */
export const postPromote: Handler = async (api, exchange) => {
  const id = memberIn(exchange.target.path)
  return id === null ? NO_MEMBER : carryOut(api, exchange, { kind: 'promote', id })
}

/** `PUT /v1/cluster/voters {"voters":[…]}`: these members vote and no others; several changes are one (§6). */
export const putVoters: Handler = async (api, exchange) => {
  const body = await readJson(api, exchange.incoming)
  if (isRefusal(body)) return body
  const { success, data } = voterList.safeParse(body.value)
  // A name that comes twice is a slip, and one voter fewer than was meant.
  if (!success || new Set(data.voters).size < data.voters.length) {
    return refuse(400, 'BAD_BODY', 'the body is {"voters": [names of members, each once]}')
  }
  const voters = data.voters.map(asNodeId)
  return carryOut(api, exchange, { kind: 'reconfigure', voters }, JSON.stringify(data))
}

/** `POST /v1/cluster/leader`, with `{"id":…}` or without: another member leads, at best that one. */
export const postLeader: Handler = async (api, exchange) => {
  const body = await readJson(api, exchange.incoming)
  if (isRefusal(body)) return body
  const { success, data } = successor.safeParse(body.value)
  if (!success) return refuse(400, 'BAD_BODY', 'the body is empty, or {"id": name of a voter}')
  const outcome = await api.node.transfer(data.id === undefined ? null : asNodeId(data.id))
  const passed =
    outcome.kind === 'not-leader' ? await passOn(api, exchange, JSON.stringify(data)) : null
  return passed ?? transferReply(outcome, api.node.status())
}

function transferReply(outcome: TransferOutcome, status: NodeStatus): Reply {
  switch (outcome.kind) {
    case 'done': {
      const text = JSON.stringify({ leader: outcome.leader })
      return uncached(contentReply({ type: 'application/json', text }, status))
    }
    case 'refused':
      return problemReply(
        { status: 409, code: 'BAD_CHANGE', detail: outcome.why, retryable: false },
        status,
      )
    case 'failed': {
      const detail = 'nobody took over in time'
      return problemReply({ status: 503, code: 'NOT_TAKEN_OVER', detail, retryable: true }, status)
    }
    default:
      return outcomeReply(outcome, status)
  }
}

/** `/v1/cluster/members/<id>[/promote]` */
function memberIn(path: string): NodeId | null {
  const id = path.split('/')[4] ?? ''
  return name.safeParse(id).success ? asNodeId(id) : null
}
