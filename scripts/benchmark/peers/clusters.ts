/** Starts what the targets need, and says why something cannot be had. */

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Cluster, type Peer, TARGET_SPECS, type Target } from '../cluster.ts'
import type { Options } from '../options.ts'
import { AgentCluster, ROOT } from './agents.ts'
import { consul } from './consul.ts'
import { etcd, type StoreOptions } from './etcd.ts'
import { findNginx, type NginxProgram } from './gateways.ts'
import { hraftd } from './hraftd.ts'
import { type Store, startStore } from './members.ts'
import {
  environmentOf,
  type Found,
  findConsul,
  findEtcd,
  findHraftd,
  findRedis,
  versionOf,
} from './programs.ts'
import { redis } from './redis.ts'
import { startStaticFiles } from './static-files.ts'

/** Ports from the base port on. */
const OFFSETS: Readonly<Record<Peer, number>> = {
  ours: 0,
  etcd: 200,
  consul: 230,
  hraftd: 270,
  redis: 299,
  compared: 300,
  'nginx-file': 290,
}

const STORES = {
  etcd: { store: etcd, version: '--version' },
  consul: { store: consul, version: 'version' },
  hraftd: { store: hraftd, version: '-h' },
  redis: { store: redis, version: '--version' },
} as const
type StoreName = keyof typeof STORES

export interface Skipped {
  readonly what: string
  readonly reason: string
}

export interface Peers {
  readonly clusters: ReadonlyMap<Peer, Cluster>
  /** of those that were asked for */
  readonly targets: readonly Target[]
  readonly skipped: readonly Skipped[]
  /** what each program says of itself */
  readonly versions: Readonly<Record<string, string>>
  readonly nginx: NginxProgram | null
  stop(): Promise<void>
}

/** What has started is stopped when another one fails. */
export async function startPeers(options: Options, directory: string): Promise<Peers> {
  const wanted = new Set(options.targets.map(target => TARGET_SPECS[target].peer))
  const clusters = new Map<Peer, Cluster>()
  const skipped: Skipped[] = []
  const versions: Record<string, string> = {}
  const nginx = needsNginx(options) ? findNginx() : null
  const stop = async () => {
    await Promise.all([...clusters.values()].map(cluster => cluster.stop()))
  }
  try {
    if (wanted.has('ours')) clusters.set('ours', await startAgents(options, directory, nginx))
    if (wanted.has('compared')) clusters.set('compared', await startCompared(options, directory))
    for (const name of ['etcd', 'consul', 'hraftd', 'redis'] as const) {
      if (!wanted.has(name)) continue
      const found = finders[name](options)
      if ('missing' in found) {
        skipped.push({ what: name, reason: found.missing })
        continue
      }
      versions[name] = versionOf(found, STORES[name].version)
      clusters.set(name, await startStore(storeOf(name, found, { options, directory })))
    }
    if (wanted.has('nginx-file') && nginx !== null)
      clusters.set('nginx-file', await startFiles(options, directory, nginx))
  } catch (error) {
    await stop()
    throw error
  }
  const targets = options.targets.filter(target => {
    const reason = whyNot(target, nginx)
    if (reason !== null) skipped.push({ what: target, reason })
    return reason === null && clusters.has(TARGET_SPECS[target].peer)
  })
  return { clusters, targets, skipped, versions, nginx, stop }
}

const finders: Readonly<Record<StoreName, (options: Options) => Found>> = {
  etcd: ({ etcd }) => findEtcd(etcd),
  consul: findConsul,
  hraftd: findHraftd,
  redis: findRedis,
}

function storeOf(
  name: StoreName,
  found: Extract<Found, { readonly program: string }>,
  { options, directory }: { readonly options: Options; readonly directory: string },
): Store {
  const folder = join(directory, name)
  mkdirSync(folder, { recursive: true })
  const own: StoreOptions = {
    program: found.program,
    env: environmentOf(found),
    directory: folder,
    basePort: options.basePort + OFFSETS[name],
    nodes: options.nodes,
  }
  return STORES[name].store(own)
}

function startAgents(
  options: Options,
  directory: string,
  nginx: NginxProgram | null,
): Promise<AgentCluster> {
  const { basePort, nodes, learners, nodeArgs, targets } = options
  const redirect = targets.includes('gateway-redirect')
  return AgentCluster.start({
    ...{ root: options.agent ?? ROOT, directory: join(directory, 'raft-nginx'), settings: {} },
    ...{ basePort, nodes, learners, nodeArgs, nginx, redirect },
  })
}

function startCompared(options: Options, directory: string): Promise<AgentCluster> {
  const { basePort, nodes, learners, nodeArgs, compare } = options
  return AgentCluster.start({
    ...{ root: compare ?? ROOT, directory: join(directory, 'compared'), settings: {} },
    ...{ basePort: basePort + OFFSETS.compared, nodes, learners, nodeArgs },
    ...{ nginx: null, redirect: false },
  })
}

function startFiles(
  { basePort, keys, valueBytes }: Options,
  directory: string,
  { program }: NginxProgram,
): Promise<Cluster> {
  const port = basePort + OFFSETS['nginx-file']
  return startStaticFiles({
    ...{ program, port, keys, valueBytes },
    directory: join(directory, 'nginx-file'),
  })
}

function needsNginx({ targets }: Options): boolean {
  return targets.some(isThroughNginx)
}

function isThroughNginx(target: Target): boolean {
  return target.startsWith('edge') || target === 'nginx-file' || target.startsWith('gateway')
}

function whyNot(target: Target, nginx: NginxProgram | null): string | null {
  if (!isThroughNginx(target)) return null
  if (nginx === null) return 'nginx is not installed'
  if (target.startsWith('edge') && !nginx.memory) return 'this nginx has no js_shared_dict_zone'
  return null
}
