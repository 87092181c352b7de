import { assert } from '../lib/assert.ts'
import { type Configuration, isJoint, votersOf } from './configuration.ts'
import type { LogIndex, NodeId } from './types.ts'

/** How many of `voters` make a majority; any two majorities share a member (§5.2). */
export function majority(voters: number): number {
  return Math.floor(voters / 2) + 1
}

/** Whether those for whom `has` holds decide: a majority, in joint consensus one of each half (§6). */
export function isQuorum(configuration: Configuration, has: (id: NodeId) => boolean): boolean {
  return halvesOf(configuration).every(
    voters => voters.filter(has).length >= majority(voters.length),
  )
}

/**
 * Highest index that a quorum is known to hold: safe to commit if its entry is of the current term
 * (§5.3, §5.4.2).
 * @param matchOf what a voter is known to hold durably, the leader's own included
 */
export function quorumIndex(
  configuration: Configuration,
  matchOf: (id: NodeId) => LogIndex,
): LogIndex {
  const [incoming, outgoing] = halvesOf(configuration).map(voters =>
    majorityIndex(voters.map(matchOf)),
  )
  assert(incoming !== undefined, 'a configuration has a half')
  return outgoing === undefined || incoming < outgoing ? incoming : outgoing
}

function majorityIndex(matchIndexes: readonly LogIndex[]): LogIndex {
  const ascending = [...matchIndexes].sort((a, b) => a - b)
  const index = ascending[ascending.length - majority(ascending.length)]
  assert(index !== undefined, 'a configuration has at least one voter')
  return index
}

function halvesOf(configuration: Configuration): (readonly NodeId[])[] {
  const incoming = votersOf(configuration)
  return isJoint(configuration) ? [incoming, configuration.outgoing] : [incoming]
}
