import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { startServer } from '../child-process.ts'
import { type Attempt, WRITTEN } from '../cluster.ts'
import { KNOWN } from '../requests.ts'
import type { Store } from './members.ts'
import { askJson } from './probe.ts'

export interface StoreOptions {
  readonly program: string
  readonly env: Readonly<Record<string, string>>
  readonly directory: string
  readonly basePort: number
  readonly nodes: number
}

/** Default settings, the v2 API switched on. */
export function etcd(options: StoreOptions): Store {
  const { directory, basePort, nodes, program, env } = options
  mkdirSync(directory, { recursive: true })
  const peerUrl = (id: number) => `http://127.0.0.1:${basePort + 10 + id}`
  const clientUrl = (id: number) => `http://127.0.0.1:${basePort + id}`
  const initial = Array.from({ length: nodes }, (_, at) => `etcd${at}=${peerUrl(at)}`).join(',')
  return {
    name: 'etcd',
    nodes,
    clientPort: id => basePort + id,
    dialect: target => (target === 'etcd-v2' ? 'etcd-v2' : 'etcd-grpc'),
    start: id => {
      const logFile = join(directory, `etcd${id}.log`)
      const settings = {
        name: `etcd${id}`,
        'data-dir': join(directory, `etcd${id}`),
        'listen-client-urls': clientUrl(id),
        'advertise-client-urls': clientUrl(id),
        'listen-peer-urls': peerUrl(id),
        'initial-advertise-peer-urls': peerUrl(id),
        'initial-cluster': initial,
        'initial-cluster-token': 'raft-nginx-bench',
        'enable-v2': 'true',
        logger: 'zap',
        'log-level': 'error',
      }
      const args = Object.entries(settings).map(([name, value]) => `--${name}=${value}`)
      return { child: startServer({ program, args, logFile, env }), logFile }
    },
    leader: async ids => {
      const all = await Promise.all(ids.map(id => statusOf(clientUrl(id))))
      const [first] = all
      if (all.some(status => status === null || status.leader !== first?.leader)) return null
      const at = all.findIndex(status => status?.self === first?.leader)
      return at < 0 ? null : at
    },
    // its JSON gateway; a follower hands writes to the leader
    requests: port => {
      const ask = (path: string, body: Readonly<Record<string, string>>): Attempt => ({
        ...{ url: `http://127.0.0.1:${port}/v3/kv/${path}`, method: 'POST', headers: {} },
        body: JSON.stringify(body),
      })
      return {
        port,
        write: value => ask('put', { key: base64(WRITTEN), value: base64(value) }),
        read: () => ask('range', { key: base64(KNOWN) }),
      }
    },
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

/** Null while it knows no leader. */
async function statusOf(
  url: string,
): Promise<{ readonly self: string; readonly leader: string } | null> {
  const { header, leader } =
    (await askJson(`${url}/v3/maintenance/status`, { method: 'POST', body: '{}' })) ?? {}
  const self = (header as { readonly member_id?: string } | undefined)?.member_id
  // protobuf's JSON leaves out what is zero: no leader
  return typeof leader === 'string' && self !== undefined ? { self, leader } : null
}
