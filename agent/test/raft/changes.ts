import type { Configuration, MemberRole, MembershipChange } from '../../src/raft/configuration.ts'
import { asNodeId, type NodeId } from '../../src/raft/types.ts'
import type { Cluster } from './cluster.ts'
import { configurationOf } from './harness.ts'

/** These nodes, a letter each; who is not named among `roles` votes. */
export function members(
  names: string,
  roles: Readonly<Record<string, MemberRole>> = {},
  outgoing = '',
): Configuration {
  const { members: voters } = configurationOf([...names])
  return {
    members: voters.map(member => ({ ...member, role: roles[member.id] ?? member.role })),
    outgoing: ids(outgoing),
  }
}

const ids = (names: string): NodeId[] => [...names].map(asNodeId)

/** Changes of the membership as the stories name them: a node is a letter. */
export const add = (id: string, edge = false): MembershipChange => ({
  kind: 'add',
  id: asNodeId(id),
  raftBind: `${id}:1`,
  edge,
})

export const remove = (id: string): MembershipChange => ({ kind: 'remove', id: asNodeId(id) })

export const promote = (id: string): MembershipChange => ({ kind: 'promote', id: asNodeId(id) })

/** These voters and no others, a letter each. */
export const reconfigure = (voters: string): MembershipChange => ({
  kind: 'reconfigure',
  voters: ids(voters),
})

/** What a leader learns when `id` connects. */
export const identify = (id: string): MembershipChange => ({
  kind: 'identify',
  id: asNodeId(id),
  incarnation: `i-${id}`,
  address: `${id}:2`,
  gateway: null,
})

/** Adds nodes that wait as voters; the leader promotes them when they have caught up. */
export function grow(cluster: Cluster, leader: string, ids: string): void {
  for (const id of ids) {
    for (const change of [add(id), identify(id)]) {
      cluster.change(leader, change)
      cluster.settle()
    }
    cluster.run(10)
  }
}

/** Learners that connected and are not promoted yet: two checks have not passed. */
export function addLearners(cluster: Cluster, leader: string, ids: string): void {
  for (const id of ids) {
    for (const change of [add(id), identify(id)]) {
      cluster.change(leader, change)
      cluster.settle()
    }
  }
}
