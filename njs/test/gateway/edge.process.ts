/**
 * Reads out of nginx's own memory, in a real nginx. Run by itself: `npx tsx njs/test/gateway/edge.process.ts`. Prints
 * TAP. Needs nginx with `js_shared_dict_zone`: the machine's own, or one of those that `scripts/test --matrix` makes.
 */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { edgeNginx, versionOf } from './edge-nginx.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const built = spawnSync('npx', ['tsx', 'scripts/build-njs.ts'], { cwd: root, encoding: 'utf8' })
if (built.status !== 0) throw new Error(`build of the njs bundle failed: ${built.stderr}`)

const nginx = edgeNginx()
if (nginx === null) {
  const how = 'no nginx with js_shared_dict_zone here: scripts/test --matrix makes some'
  t.test('reads out of nginx’s own memory', { skip: how }, async () => {})
} else {
  process.env.GATEWAY_TEST_NGINX = nginx
  t.comment(versionOf(nginx))
  t.setTimeout(300_000)
  const { edgeReads } = await import('./edge-reads.ts')
  const { edgeHazards } = await import('./edge-hazards.ts')
  const { edgeAgent } = await import('./edge-agent.ts')
  edgeAgent(t)
  edgeReads(t)
  edgeHazards(t)
}
