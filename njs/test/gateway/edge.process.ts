/**
 * Reads out of nginx's own memory, in a real nginx. Run by itself: `npx tsx njs/test/gateway/edge.process.ts`. Prints
 * TAP. Needs nginx with `js_shared_dict_zone`: the machine's own, or one of those that `scripts/test --matrix` makes.
 */

import { withEdgeNginx } from './edge-nginx.ts'

await withEdgeNginx('reads out of nginx’s own memory', async t => {
  const { edgeReads } = await import('./edge-reads.ts')
  const { edgeHazards } = await import('./edge-hazards.ts')
  const { edgeAgent } = await import('./edge-agent.ts')
  edgeAgent(t)
  edgeReads(t)
  edgeHazards(t)
})
