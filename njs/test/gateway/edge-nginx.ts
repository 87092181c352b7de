/** Which nginx the tests of edge reads run. */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { hasSharedDict } from '../../../agent/src/gateway/edge-options.ts'
import { findJsModule } from '../../../agent/src/gateway/nginx-binary.ts'
import { nginxOf, SUITES, SYSTEM_NGINX } from '../../../scripts/lib/matrix.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

function build(): void {
  const built = spawnSync('npx', ['tsx', 'scripts/build-njs.ts'], { cwd: ROOT, encoding: 'utf8' })
  if (built.status !== 0) throw new Error(`build of the njs bundle failed: ${built.stderr}`)
}

/** Builds the bundles, and runs the tests with an nginx that can where there is one, else with the machine's own. */
export async function withAnyNginx(
  tests: (t: Test, edge: boolean) => Promise<void>,
): Promise<void> {
  build()
  const nginx = edgeNginx()
  if (nginx !== null) process.env.GATEWAY_TEST_NGINX = nginx
  t.comment(nginx === null ? 'without reads out of nginx’s own memory' : versionOf(nginx))
  t.setTimeout(300_000)
  await tests(t, nginx !== null)
}

/** Builds the bundles, and runs the tests with an nginx that can; where there is none, they are skipped. */
export async function withEdgeNginx(
  what: string,
  tests: (t: Test) => Promise<void>,
): Promise<void> {
  build()
  const nginx = edgeNginx()
  if (nginx === null) {
    const how = 'no nginx with js_shared_dict_zone here: scripts/test --matrix makes some'
    t.test(what, { skip: how }, async () => {})
    return
  }
  process.env.GATEWAY_TEST_NGINX = nginx
  t.comment(versionOf(nginx))
  t.setTimeout(300_000)
  await tests(t)
}

/** The one that was asked for, else the machine's own, else another Debian's; null where none of them can. */
function edgeNginx(): string | null {
  const own = [SYSTEM_NGINX, ...SUITES.map(nginxOf)]
  const asked = process.env.GATEWAY_TEST_NGINX
  const candidates = asked === undefined ? own : [asked]
  const able = (program: string | null): program is string =>
    program !== null && hasSharedDict(program, findJsModule(program))
  return candidates.find(able) ?? null
}

function versionOf(program: string): string {
  const { stderr } = spawnSync(program, ['-v'], { encoding: 'utf8' })
  return stderr.trim()
}
