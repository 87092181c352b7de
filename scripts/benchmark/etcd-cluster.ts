import type { ChildProcess } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { endServers, startServer, waitUntil } from './child-process.ts'
import { type Aim, type Cluster, MEMBERS, type Target } from './cluster.ts'

interface Member {
  readonly child: ChildProcess
  readonly logFile: string
  readonly clientPort: number
}

/** Three members of etcd with its default settings, the v2 API switched on. */
export async function startEtcd(directory: string, basePort: number): Promise<Cluster> {
  mkdirSync(directory, { recursive: true })
  const peerUrl = (id: number) => `http://127.0.0.1:${basePort + 10 + id}`
  const initial = MEMBERS.map(id => `etcd${id}=${peerUrl(id)}`).join(',')
  const members = MEMBERS.map((id): Member => {
    const clientPort = basePort + id
    const logFile = join(directory, `etcd${id}.log`)
    const settings = {
      name: `etcd${id}`,
      'data-dir': join(directory, `etcd${id}`),
      'listen-client-urls': `http://127.0.0.1:${clientPort}`,
      'advertise-client-urls': `http://127.0.0.1:${clientPort}`,
      'listen-peer-urls': peerUrl(id),
      'initial-advertise-peer-urls': peerUrl(id),
      'initial-cluster': initial,
      'initial-cluster-token': 'raft-nginx-bench',
      'enable-v2': 'true',
      logger: 'zap',
      'log-level': 'error',
    }
    const args = Object.entries(settings).map(([name, value]) => `--${name}=${value}`)
    return { child: startServer({ program: 'etcd', args, logFile }), logFile, clientPort }
  })
  const stop = () => endServers(members.map(({ child }) => child))
  try {
    await waitUntil('etcd', members, async () => (await leaderOf(members)) !== null)
  } catch (error) {
    await stop()
    throw error
  }
  return { aimAt: target => aimAt(members, target), stop }
}

async function aimAt(members: readonly Member[], target: Target): Promise<Aim> {
  const leader = await leaderOf(members)
  if (leader === null) throw new Error('etcd has no leader')
  return {
    dialect: target === 'etcd-v2' ? 'etcd-v2' : 'etcd-grpc',
    endpoint: { kind: 'tcp', host: '127.0.0.1', port: leader.clientPort },
    serverPids: members.flatMap(({ child }) => child.pid ?? []),
  }
}

async function leaderOf(members: readonly Member[]): Promise<Member | null> {
  for (const member of members) {
    const answer = await fetch(`http://127.0.0.1:${member.clientPort}/v2/stats/self`)
    const stats = (await answer.json()) as { readonly state?: string }
    if (stats.state === 'StateLeader') return member
  }
  return null
}
