/**
 * What reads out of nginx's memory must hold, under harm and with real agents. Prints TAP.
 * `npx tsx njs/test/gateway/edge-holds.process.ts --long`: a million reads during 100,000 writes, some minutes.
 */

import { withEdgeNginx } from './edge-nginx.ts'

const long = process.argv.includes('--long')
const SHORT = { reads: 30_000, readsPerWrite: 10, faultEveryMs: 100 }
const LONG = { reads: 1_000_000, readsPerWrite: 10, faultEveryMs: 500 }

await withEdgeNginx('what reads out of nginx’s memory must hold', async t => {
  const { edgeHolds } = await import('./edge-holds.ts')
  const { edgeVisible } = await import('./edge-visible.ts')
  if (long) t.setTimeout(3_600_000)
  edgeHolds(t, long ? LONG : SHORT)
  edgeVisible(t, long ? 2_000 : 100)
})
