/**
 * Other Debians' nginx, for the tests of the gateway: root file systems made by debootstrap, whose nginx runs here,
 * by the loader and the libraries of its own root.
 */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasSharedDict } from '../../agent/src/gateway/edge-options.ts'
import { findJsModule } from '../../agent/src/gateway/nginx-binary.ts'
import { debianMirror } from './debian.ts'

/** Debian 13 (nginx 1.26, njs 0.8.9) and the newest (QuickJS). */
export const SUITES = ['trixie', 'sid'] as const

type Suite = (typeof SUITES)[number]

export const SYSTEM_NGINX = '/usr/sbin/nginx'
const ROOTS = '/var/tmp/raft-nginx-roots'
const PACKAGES = 'nginx,libnginx-mod-http-js'
/** Beside the binary, so that its modules are found beside it too. */
const PROGRAM = 'usr/sbin/nginx-here'
const LOADERS = ['lib64/ld-linux-x86-64.so.2', 'lib/ld-linux-aarch64.so.1']

/** A program that runs this suite's nginx, or null where its root was not made. */
export function nginxOf(suite: Suite): string | null {
  const program = join(ROOTS, suite, PROGRAM)
  return existsSync(program) ? program : null
}

/**
 * Sees to it that the tests of edge reads have an nginx that can: Debian 13's, where this machine's own cannot.
 * @returns why there is none; null: there is one
 */
export function ensureEdgeNginx(): string | null {
  const programs = [SYSTEM_NGINX, ...SUITES.map(nginxOf)]
  const able = (program: string | null) =>
    program !== null && hasSharedDict(program, findJsModule(program))
  if (programs.some(able)) return null
  try {
    return able(makeRoot('trixie')) ? null : 'the nginx of Debian 13 has no js_shared_dict_zone'
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/**
 * Makes the suite's root unless it is there: about a minute, and 250 MB.
 * @returns the program that runs its nginx
 * @throws Error with the end of debootstrap's log
 */
export function makeRoot(suite: Suite): string {
  const program = join(ROOTS, suite, PROGRAM)
  if (existsSync(program)) return program
  if (process.getuid?.() !== 0) throw new Error(`${suite}: only root can make a root file system`)
  const mirror = debianMirror()
  if (mirror === null) throw new Error('no Debian mirror in /etc/apt: debootstrap needs one')
  mkdirSync(ROOTS, { recursive: true })
  const staged = join(ROOTS, `.${suite}-${process.pid}`)
  try {
    const args = ['--variant=minbase', `--include=${PACKAGES}`, suite, staged, mirror]
    const made = spawnSync('debootstrap', args, { encoding: 'utf8' })
    if (made.error !== undefined) {
      throw new Error(`debootstrap is missing: apt-get install debootstrap`, { cause: made.error })
    }
    if (made.status !== 0) throw new Error(`${suite}: ${made.stdout.slice(-600)}${made.stderr}`)
    const root = join(ROOTS, suite)
    writeFileSync(join(staged, PROGRAM), scriptOf(staged, root), { mode: 0o755 })
    rmSync(root, { recursive: true, force: true })
    renameSync(staged, root)
    return program
  } finally {
    rmSync(staged, { recursive: true, force: true })
  }
}

/** @param staged the root as it is now; it will be `root` */
function scriptOf(staged: string, root: string): string {
  const loader = LOADERS.find(file => existsSync(join(staged, file)))
  if (loader === undefined) throw new Error('no loader known for this processor')
  const folders = readdirSync(join(staged, 'usr/lib')).filter(name => name.endsWith('-linux-gnu'))
  const libraries = folders.map(name => join(root, 'usr/lib', name)).join(':')
  const nginx = join(root, 'usr/sbin/nginx')
  return `#!/bin/sh\nexec ${join(root, loader)} --library-path ${libraries} ${nginx} "$@"\n`
}
