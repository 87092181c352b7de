/** Where the other stores' programs are: installed, or unpacked from Debian's packages. Nothing is installed. */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { debianMirror } from '../../lib/debian.ts'
import { goInstalled } from './go-programs.ts'

/** What is unpacked stays, so that the next run need not fetch it. */
const UNPACKED = '/var/tmp/raft-nginx-peers'

interface Package {
  /** Debian's name of the release */
  readonly suite: string
  readonly packages: readonly string[]
  /** inside the unpacked package */
  readonly program: string
}

/** `newest`: the one of Debian's development release. */
const ETCD_NEWEST: Package = { suite: 'sid', packages: ['etcd-server'], program: 'usr/bin/etcd' }
const ETCD_STABLE: Package = {
  ...{ suite: 'bookworm', packages: ['etcd-server'] },
  program: 'usr/bin/etcd',
}
/** The last release of Debian that had it. */
const CONSUL: Package = { suite: 'bullseye', packages: ['consul'], program: 'usr/bin/consul' }
const REDIS: Package = {
  suite: 'bookworm',
  packages: ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1', 'libatomic1'],
  program: 'usr/bin/redis-server',
}

/** A program that runs, or why there is none. */
export type Found =
  | { readonly program: string; readonly libraries: string | null }
  | { readonly missing: string }

/**
 * etcd 3.5 where it can be had, else whatever is installed, else the stable release's.
 * @param given a program to take instead, or null
 */
export function findEtcd(given: string | null): Found {
  if (given !== null) return checked(given, '--version')
  return firstOf([
    () => unpacked('etcd-newest', ETCD_NEWEST, '--version'),
    () => checked('etcd', '--version'),
    () => unpacked('etcd-stable', ETCD_STABLE, '--version'),
  ])
}

export function findConsul(): Found {
  return firstOf([() => checked('consul', 'version'), () => unpacked('consul', CONSUL, 'version')])
}

export function findRedis(): Found {
  return firstOf([
    () => checked('redis-server', '--version'),
    () => unpacked('redis', REDIS, '--version'),
  ])
}

/** Not packaged anywhere: on the PATH, or built with Go. */
export function findHraftd(): Found {
  const { error } = spawnSync('hraftd', ['-h'])
  if (error === undefined) return { program: 'hraftd', libraries: null }
  const built = goInstalled(join(UNPACKED, 'go'), 'github.com/otoolep/hraftd@latest')
  return 'missing' in built ? built : { ...built, libraries: null }
}

/** The environment in which a found program finds its libraries. */
export function environmentOf({ libraries }: { readonly libraries: string | null }) {
  return libraries === null ? {} : { LD_LIBRARY_PATH: libraries }
}

/** First line with a number that it says of itself. */
export function versionOf(found: Found, flag: string): string {
  if ('missing' in found) return 'none'
  const { stdout } = spawnSync(found.program, [flag], {
    encoding: 'utf8',
    env: { ...process.env, ...environmentOf(found) },
  })
  return stdout.split('\n')[0]?.replace('etcd Version: ', '') ?? 'unknown'
}

function firstOf(ways: readonly (() => Found)[]): Found {
  const reasons: string[] = []
  for (const way of ways) {
    const found = way()
    if (!('missing' in found)) return found
    reasons.push(found.missing)
  }
  return { missing: reasons.join('; ') }
}

function checked(program: string, flag: string, libraries: string | null = null): Found {
  const env = { ...process.env, ...environmentOf({ libraries }) }
  const { status, error, stderr } = spawnSync(program, [flag], { encoding: 'utf8', env })
  if (status === 0) return { program, libraries }
  const why = error === undefined ? stderr.trim().split('\n')[0] : 'not installed'
  return { missing: `${program}: ${why}` }
}

function unpacked(name: string, wanted: Package, flag: string): Found {
  const root = join(UNPACKED, name)
  const program = join(root, wanted.program)
  if (!existsSync(program)) {
    const fault = unpack(root, wanted)
    if (fault !== null)
      return { missing: `${wanted.packages[0]} of Debian ${wanted.suite}: ${fault}` }
  }
  const folders = existsSync(join(root, 'usr/lib')) ? readdirSync(join(root, 'usr/lib')) : []
  const library = folders.find(folder => folder.endsWith('-linux-gnu'))
  return checked(program, flag, library === undefined ? null : join(root, 'usr/lib', library))
}

/** By apt with lists of its own, so that the machine's stay as they are. @returns what went wrong, or null */
function unpack(root: string, { suite, packages }: Package): string | null {
  const mirror = debianMirror()
  if (mirror === null) return 'no Debian mirror in /etc/apt'
  const staged = `${root}.${process.pid}`
  try {
    for (const folder of ['lists/partial', 'cache/archives/partial', 'parts', 'root']) {
      mkdirSync(join(staged, folder), { recursive: true })
    }
    writeFileSync(join(staged, 'sources'), `deb ${mirror} ${suite} main\n`)
    const settings = [
      `Dir::Etc::sourcelist=${staged}/sources`,
      `Dir::Etc::sourceparts=${staged}/parts`,
      `Dir::State::lists=${staged}/lists`,
      `Dir::Cache=${staged}/cache`,
      'APT::Sandbox::User=root',
    ].flatMap(setting => ['-o', setting])
    const apt = (...args: readonly string[]) => run('apt-get', [...settings, ...args], staged)
    const fault = apt('update', '-qq') ?? apt('download', '-qq', ...packages)
    if (fault !== null) return fault
    const files = readdirSync(staged).filter(file => file.endsWith('.deb'))
    for (const file of files) {
      const broken = run('dpkg-deb', ['-x', file, join(staged, 'root')], staged)
      if (broken !== null) return broken
    }
    rmSync(root, { recursive: true, force: true })
    renameSync(join(staged, 'root'), root)
    return null
  } finally {
    rmSync(staged, { recursive: true, force: true })
  }
}

function run(program: string, args: readonly string[], cwd: string): string | null {
  const { status, error, stderr } = spawnSync(program, [...args], { cwd, encoding: 'utf8' })
  if (status === 0) return null
  return error?.message ?? (stderr.trim().split('\n').at(-1) || `${program} ended with ${status}`)
}
