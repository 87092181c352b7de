import type { Configuration } from '../../src/raft/configuration.ts'
import type { NodeId } from '../../src/raft/types.ts'

// The core's own arithmetic is what is being tested: none of it is used here.

/** The sets of voters of which each has to agree: one, in joint consensus two (§6). */
export function halvesOf({ members, outgoing }: Configuration): readonly (readonly NodeId[])[] {
  const incoming = members.filter(({ role }) => role === 'voter').map(({ id }) => id)
  return outgoing.length === 0 ? [incoming] : [incoming, outgoing]
}

/** Whether those for whom `agrees` holds decide: more than half of each half. */
export function decides(configuration: Configuration, agrees: (id: NodeId) => boolean): boolean {
  return halvesOf(configuration).every(half => half.filter(agrees).length * 2 > half.length)
}

/** Everybody who votes in either half. */
export function votersIn(configuration: Configuration): readonly NodeId[] {
  return [...new Set(halvesOf(configuration).flat())].sort()
}

const MET = new Map<string, boolean>()

/** Whether no decision in one can be made without somebody who takes part in every decision of the other. */
export function meet(a: Configuration, b: Configuration): boolean {
  const key = JSON.stringify([halvesOf(a), halvesOf(b)])
  const known = MET.get(key)
  if (known !== undefined) return known
  const voters = votersIn(a)
  let apart = false
  for (let set = 0; set < 2 ** voters.length; set++) {
    const inside = new Set(voters.filter((_, at) => (set >> at) % 2 === 1))
    // If these decide in one, and all the others together in the other, the two could miss one another.
    apart ||= decides(a, id => inside.has(id)) && decides(b, id => !inside.has(id))
  }
  MET.set(key, !apart)
  return !apart
}
