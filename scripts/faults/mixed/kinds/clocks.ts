import type { Maker } from '../field.ts'

const HOUR_S = 3_600
const JUMPS_S: readonly number[] = [-24 * HOUR_S, -HOUR_S, -30, 30, HOUR_S, 24 * HOUR_S]

/** A wall clock is set, and set back. */
export const clockJump: Maker = async field => {
  const { clocks, chance } = field
  if (clocks === null) return null
  const node = chance.oneOf(field.agents.cluster.nodes)
  const seconds = chance.oneOf(JUMPS_S)
  clocks.set(node, seconds)
  return {
    what: `the clock of ${node.id} is ${seconds} s off`,
    heal: async () => clocks.set(node, 0),
  }
}
