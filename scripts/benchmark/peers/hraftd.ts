import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { startServer } from '../child-process.ts'
import { WRITTEN } from '../cluster.ts'
import { KNOWN } from '../requests.ts'
import type { StoreOptions } from './etcd.ts'
import type { Store } from './members.ts'
import { askText } from './probe.ts'

const RAFT = 10

/** The example of hashicorp/raft: the first one leads from the start and takes the others in. */
export function hraftd(options: StoreOptions): Store {
  const { directory, basePort, nodes, program, env } = options
  mkdirSync(directory, { recursive: true })
  const http = (id: number) => `127.0.0.1:${basePort + id}`
  return {
    name: 'hraftd',
    nodes,
    clientPort: id => basePort + id,
    dialect: () => 'hraftd',
    start: id => {
      const logFile = join(directory, `hraftd${id}.log`)
      const own = ['-id', `hraftd${id}`, '-haddr', http(id), '-raddr']
      const raft = `127.0.0.1:${basePort + RAFT + id}`
      const joining = id === 0 ? [] : ['-join', http(0)]
      const args = [...own, raft, ...joining, join(directory, `hraftd${id}`)]
      return { child: startServer({ program, args, logFile, env }), logFile }
    },
    // it says nowhere who leads, but only the leader takes writes, and each of the others has them
    leader: async ids => {
      const body = JSON.stringify({ ready: 'yes' })
      for (const id of ids) {
        const told = await askText(`http://${http(id)}/key`, { method: 'POST', body })
        if (told === null) continue
        const all = await Promise.all(ids.map(one => askText(`http://${http(one)}/key/ready`)))
        return all.every(text => text?.includes('yes')) ? id : null
      }
      return null
    },
    requests: port => ({
      port,
      write: value => ({
        ...{ url: `http://127.0.0.1:${port}/key`, method: 'POST', headers: {} },
        body: JSON.stringify({ [WRITTEN]: value }),
      }),
      read: () => ({
        ...{ url: `http://127.0.0.1:${port}/key/${KNOWN}`, method: 'GET', headers: {} },
        body: null,
      }),
    }),
  }
}
