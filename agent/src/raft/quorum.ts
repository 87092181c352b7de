import { assert } from '../lib/assert.ts'
import type { LogIndex } from './types.ts'

/** How many of `voters` make a majority; any two majorities share a member (§5.2). */
export function majority(voters: number): number {
  return Math.floor(voters / 2) + 1
}

/**
 * Highest index that a majority is known to hold: safe to commit if its entry is of the current
 * term (§5.3, §5.4.2).
 * @param matchIndexes one per voter, the leader's own included; not modified
 */
export function majorityIndex(matchIndexes: readonly LogIndex[]): LogIndex {
  const ascending = [...matchIndexes].sort((a, b) => a - b)
  const index = ascending[ascending.length - majority(ascending.length)]
  assert(index !== undefined, 'a configuration has at least one voter')
  return index
}
