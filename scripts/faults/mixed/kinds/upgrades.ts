/** Nodes that go from another build to this one, one after the other: the newer agent, and its nginx's configuration. */

import { buildOf, useBuild } from '../../../lib/builds.ts'
import { gatewayPid } from '../../../lib/gateway-server.ts'
import { type NodePlace, ROOT } from '../../../lib/layout.ts'
import { reloadGateway } from '../../../lib/operations.ts'
import type { Field, Maker } from '../field.ts'

const READY_MS = 10_000
/** Of all strikes: one node only, so that two versions are together for long. */
const ONE = 0.7

/** As agent/docs/operations.md has it: stop, start the newer one, wait until it is ready, render and reload; then the next. */
export const upgrade: Maker = async field => {
  const old = field.free.filter(node => buildOf(node) !== ROOT)
  const nodes = field.chance.happens(ONE) ? old.slice(0, 1) : old
  if (nodes.length === 0) return null
  const releases = nodes.map(node => field.take(node))
  const done = (async () => {
    for (const [at, node] of nodes.entries()) {
      await upgradeOne(field, node)
      releases[at]?.()
    }
  })()
  // What it throws is told when it is healed.
  done.catch(() => undefined)
  return { what: `upgrade of ${nodes.map(({ id }) => id).join(' ')}`, heal: () => done }
}

async function upgradeOne({ agents }: Field, node: NodePlace): Promise<void> {
  await agents.stop(node)
  useBuild(node, ROOT)
  await agents.start(node)
  await agents.becomesReady(node, READY_MS)
  if (gatewayPid(node) !== null) await reloadGateway(agents.cluster.place, node)
}
