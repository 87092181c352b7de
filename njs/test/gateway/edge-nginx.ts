/** Which nginx the tests of edge reads run. */

import { spawnSync } from 'node:child_process'
import { hasSharedDict } from '../../../agent/src/gateway/edge-options.ts'
import { findJsModule } from '../../../agent/src/gateway/nginx-binary.ts'
import { nginxOf, SUITES } from '../../../scripts/lib/matrix.ts'

/** The one that was asked for, else the machine's own, else another Debian's; null where none of them can. */
export function edgeNginx(): string | null {
  const own = ['/usr/sbin/nginx', ...SUITES.map(nginxOf)]
  const asked = process.env.GATEWAY_TEST_NGINX
  const candidates = asked === undefined ? own : [asked]
  const able = (program: string | null): program is string =>
    program !== null && hasSharedDict(program, findJsModule(program))
  return candidates.find(able) ?? null
}

export function versionOf(program: string): string {
  const { stderr } = spawnSync(program, ['-v'], { encoding: 'utf8' })
  return stderr.trim()
}
