import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { startServer } from '../child-process.ts'
import { WRITTEN } from '../cluster.ts'
import { KNOWN } from '../requests.ts'
import type { StoreOptions } from './etcd.ts'
import type { Store } from './members.ts'
import { askText } from './probe.ts'

const PORTS_EACH = 4
/** More than the highest concurrency: Consul takes 200 connections a client. */
const LIMITS = 'limits { http_max_conns_per_client = 5000 }'

/** Servers with default settings, but for the number of connections. */
export function consul(options: StoreOptions): Store {
  const { directory, basePort, nodes, program, env } = options
  mkdirSync(directory, { recursive: true })
  const ports = (id: number) => {
    const http = basePort + id * PORTS_EACH
    return { http, server: http + 1, serf: http + 2 }
  }
  const ids = Array.from({ length: nodes }, (_, id) => id)
  return {
    name: 'consul',
    nodes,
    clientPort: id => ports(id).http,
    dialect: () => 'consul',
    start: id => {
      const logFile = join(directory, `consul${id}.log`)
      const { http, server, serf } = ports(id)
      const settings = {
        ...{ node: `consul${id}`, 'data-dir': join(directory, `consul${id}`) },
        ...{ bind: '127.0.0.1', client: '127.0.0.1', 'bootstrap-expect': nodes },
        ...{ 'http-port': http, 'server-port': server, 'serf-lan-port': serf },
        ...{
          'serf-wan-port': -1,
          'dns-port': -1,
          'grpc-port': -1,
          'log-level': 'err',
          hcl: LIMITS,
        },
      }
      const own = Object.entries(settings).map(([name, value]) => `-${name}=${value}`)
      const others = ids.map(other => `-retry-join=127.0.0.1:${ports(other).serf}`)
      const args = ['agent', '-server', ...own, ...others, '-retry-interval=1s']
      return { child: startServer({ program, args, logFile, env }), logFile }
    },
    leader: async asked => {
      const told = await Promise.all(
        asked.map(id => askText(`http://127.0.0.1:${ports(id).http}/v1/status/leader`)),
      )
      const [first] = told
      if (!first || told.some(text => text !== first)) return null
      const at = ids.find(id => first.includes(`:${ports(id).server}"`))
      return at ?? null
    },
    requests: port => {
      const at = (path: string) => ({ url: `http://127.0.0.1:${port}/v1/kv/${path}`, headers: {} })
      return {
        port,
        write: value => ({ ...at(WRITTEN), method: 'PUT', body: value }),
        read: () => ({ ...at(`${KNOWN}?consistent`), method: 'GET', body: null }),
      }
    },
  }
}
