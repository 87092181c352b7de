/** What this machine can do to a cluster, found out by trying it. */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Shape } from '../../lib/layout.ts'
import { Hosts } from '../../net/hosts.ts'
import { isInside, whyNoMachine } from '../../net/inside.ts'
import { run } from '../../net/tools.ts'
import { whyNoPowerCuts } from '../disks.ts'
import { Clocks } from './field.ts'
import { type Ability, KINDS, type KindName } from './nemesis.ts'

export interface Abilities {
  readonly able: ReadonlySet<Ability>
  /** kinds of faults that cannot be made, and why */
  readonly notTried: readonly string[]
  readonly hosts: Hosts | null
}

/** How a run was asked for. */
export interface Wishes {
  readonly peers: Shape['peers']
  /** another build, from which nodes are upgraded */
  readonly from: string | null
}

/** @param network where hosts get their addresses */
export async function findAbilities(network: string, wishes: Wishes): Promise<Abilities> {
  const why = new Map<Ability, string>()
  let hosts: Hosts | null = null
  try {
    if (!isInside()) throw new Error((await whyNoMachine()) ?? 'not in a machine of its own')
    hosts = await Hosts.make(network)
    await hosts.add('probe', PROBE_NUMBER)
    await (await hosts.trouble([{ from: 'probe', to: 'probe' }], { kind: 'loss', percent: 1 }))()
  } catch (error) {
    hosts = null
    why.set('hosts', textOf(error))
  }
  for (const [ability, reason] of [
    ['shaping', await whyNot(async () => (await hosts?.narrow('probe', 1_000, 100))?.())],
    ['delay', await whyNot(async () => (await hosts?.delay('probe', 1))?.())],
    ['disks', hosts === null ? 'no mounts of its own' : await whyNoPowerCuts()],
    ['tracing', await whyNoTracing()],
    ['clocks', Clocks.find('/') === null ? 'libfaketime is missing (Debian: faketime)' : null],
    ['certificates', wishes.peers === 'tls' ? null : 'agents have none in this run: --peers tls'],
    ['builds', wishes.from === null ? 'there is no other build: --from DIR' : null],
  ] as const) {
    if (reason !== null) why.set(ability, reason)
  }
  await hosts?.remove('probe')
  return {
    able: new Set(ALL.filter(ability => !why.has(ability))),
    notTried: notTried(why),
    hosts,
  }
}

const PROBE_NUMBER = 249
const ALL: readonly Ability[] = [
  'hosts',
  'shaping',
  'delay',
  'disks',
  'tracing',
  'clocks',
  'certificates',
  'builds',
]

function notTried(why: ReadonlyMap<Ability, string>): string[] {
  return (Object.keys(KINDS) as KindName[]).flatMap(kind => {
    const needs: readonly Ability[] = KINDS[kind].needs
    const missing = needs.find(need => why.has(need))
    return missing === undefined ? [] : [`${kind}: ${why.get(missing)}`]
  })
}

async function whyNot(act: () => Promise<unknown>): Promise<string | null> {
  try {
    await act()
    return null
  } catch (error) {
    return textOf(error)
  }
}

/** It traces a process that it did not start, and makes a call of it fail. */
async function whyNoTracing(): Promise<string | null> {
  const directory = mkdtempSync(join(tmpdir(), 'tracing-'))
  try {
    const version = spawnSync('strace', ['--version'])
    if (version.error !== undefined) return 'strace is missing'
    const injected = ['-e', 'inject=fsync:error=EIO:when=1', 'sync', directory]
    return await whyNot(async () => {
      const failed = await whyNot(() => run('strace', ['-o', '/dev/null', ...injected]))
      if (failed === null) throw new Error('strace cannot make fsync fail here')
    })
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function textOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? ''
}
