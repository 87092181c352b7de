import type { Handler } from '../exchange.ts'
import { refuse } from '../refusal.ts'
import { jsonReply } from './consul-reply.ts'

/** `GET /v1/status/leader`: the leader's Raft address, empty while none is known. */
export const getStatusLeader: Handler = async api => {
  const node = api.node.status()
  const leader = node.members.find(member => member.id === node.leader)
  return jsonReply(node, { text: JSON.stringify(leader?.raftBind ?? '') })
}

/** `GET /v1/status/peers`: the Raft addresses of all members. */
export const getStatusPeers: Handler = async api => {
  const node = api.node.status()
  return jsonReply(node, { text: JSON.stringify(node.members.map(member => member.raftBind)) })
}

/** `GET /v1/agent/self`, as far as clients look at it before they begin. */
export const getAgentSelf: Handler = async api => {
  const node = api.node.status()
  const { id } = node
  const self = {
    Config: { Datacenter: 'dc1', NodeName: id, Server: true, Version: api.version },
    Member: { Name: id, Tags: { role: 'consul', dc: 'dc1' }, Status: 1 },
    Meta: {},
  }
  return jsonReply(node, { text: JSON.stringify(self) })
}

/** The rest of Consul: services, health, ACLs and so on. */
export const getElsewhere: Handler = async () =>
  refuse(
    501,
    'NOT_IMPLEMENTED',
    "only kv, txn, session, status and agent/self of Consul's API are served here",
  )
