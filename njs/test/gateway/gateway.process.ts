/**
 * The gateway in a real nginx, its agents mocked. Run by itself, outside `tap run`, which would instrument what it
 * spawns: `npx tsx njs/test/gateway/gateway.process.ts`. Prints TAP.
 */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { attacks } from './attacks.ts'
import { bodies } from './bodies.ts'
import { keys } from './keys.ts'
import { paths } from './paths.ts'
import { relays } from './relay.ts'
import { reloads } from './reload.ts'
import { rendering } from './rendering.ts'
import { writes } from './writes.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const built = spawnSync('npx', ['tsx', 'scripts/build-njs.ts'], { cwd: root, encoding: 'utf8' })
if (built.status !== 0) throw new Error(`build of the njs bundle failed: ${built.stderr}`)

t.setTimeout(300_000)
keys(t)
writes(t)
bodies(t)
paths(t)
attacks(t)
relays(t)
reloads(t)
rendering(t)
