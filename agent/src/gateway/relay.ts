/** From this machine's nginx to the agents of other nodes, by the connections on which agents prove who they are. */

import { chmod } from 'node:fs/promises'
import { createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { awaitNone } from '../os/await-none.ts'
import { clearSocketPath, listen } from '../os/unix-socket.ts'
import { RelayedConnection, type WayTo } from './relayed-connection.ts'

export interface RelayOptions {
  /** of a unix socket, where nginx comes */
  readonly path: string
  readonly mode: number
  readonly wayTo: WayTo
}

export interface Relay {
  /** Takes nothing more to other nodes, waits a little for the answers to what was taken, then cuts them. */
  close(): Promise<void>
}

/** nginx has fewer, of all its workers. */
const CONNECTIONS_MAX = 4096
/** As the HTTP server has them. */
const CLOSE_DRAIN_MS = 150
const CLOSE_GRACE_MS = 500

/** @throws Error where the path is too long, or somebody listens there */
export async function startRelay({ path, mode, wayTo }: RelayOptions): Promise<Relay> {
  const open = new Set<RelayedConnection>()
  const server = createServer(near => {
    const connection = new RelayedConnection(near, wayTo)
    open.add(connection)
    near.on('close', () => open.delete(connection))
  })
  server.maxConnections = CONNECTIONS_MAX
  await clearSocketPath(path)
  await listen(server, { path })
  await chmod(path, mode)
  return {
    async close() {
      server.close()
      for (const connection of open) connection.takeNoMore()
      await pause(open.size > 0 ? CLOSE_DRAIN_MS : 0)
      for (const connection of open) connection.finish()
      await awaitNone(open, CLOSE_GRACE_MS)
      for (const connection of open) connection.destroy()
    },
  }
}
