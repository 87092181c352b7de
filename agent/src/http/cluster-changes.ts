import { unreachable } from '../lib/assert.ts'
import type { MembershipChange, NodeStatus } from '../node/node-api.ts'
import type { ChangeOutcome } from '../node/outcome.ts'
import type { Api, Exchange } from './exchange.ts'
import { passOn } from './pass-on.ts'
import { contentReply, outcomeReply, problemReply, type Reply, uncached } from './reply.ts'

/** Has the leader change the membership: this node, or the one that it follows. @param body for the latter */
export async function carryOut(
  api: Api,
  exchange: Exchange,
  change: MembershipChange,
  body = '',
): Promise<Reply> {
  const outcome = await api.node.change(change)
  const passed = outcome.kind === 'not-leader' ? await passOn(api, exchange, body) : null
  return passed ?? changeReply(outcome, api.node.status())
}

/** `{"members":[…],"leader":…}`: who belongs to the cluster, as this node knows it. */
export function membersReply(status: NodeStatus): Reply {
  const { leader, members } = status
  const text = JSON.stringify({ leader, members: members.map(shown) })
  return uncached(contentReply({ type: 'application/json', text }, status))
}

/** A member as operators and joining nodes see it. */
export function shown(member: NodeStatus['members'][number]): object {
  const { id, role, address, raftBind, gateway, identified } = member
  return { id, role, address, raftBind, gateway, identified }
}

function changeReply(outcome: ChangeOutcome, status: NodeStatus): Reply {
  switch (outcome.kind) {
    case 'applied':
    case 'unchanged':
      return membersReply(status)
    case 'refused':
      return problemReply(
        { status: 409, code: 'BAD_CHANGE', detail: outcome.why, retryable: false },
        status,
      )
    case 'change-pending': {
      const detail = 'an earlier change is not complete; nothing happened'
      return problemReply({ status: 503, code: 'CHANGE_PENDING', detail, retryable: true }, status)
    }
    case 'not-leader':
    case 'no-leader':
    case 'overloaded':
    case 'no-room':
    case 'unknown':
      return outcomeReply(outcome, status)
    default:
      return unreachable(outcome)
  }
}
