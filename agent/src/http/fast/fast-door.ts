import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { assert } from '../../lib/assert.ts'
import type { Connections } from '../connections.ts'
import type { Api } from '../exchange.ts'
import type { HttpLimits } from '../limits.ts'
import { AnswerWriter } from './answer-text.ts'
import { type Desk, FastConnection } from './fast-connection.ts'
import { YoungConnections } from './young-connections.ts'

export interface FastDoorOptions {
  readonly api: Api
  readonly connections: Connections
  readonly closing: () => boolean
  /** How often connections are looked at, ms. */
  readonly everyMs: number
}

/** What closes the connections that Node does not know of. */
export interface FastDoor {
  /** Those that had an answer and wait for none. */
  closeIdle(): void
  closeAll(): void
}

/**
 * Takes each connection of a server before Node does, and answers what is surely well-formed. Everything else is Node's:
 * decision 0004.
 */
export function openFastDoor(server: Server, options: FastDoorOptions): FastDoor {
  const { api, connections, closing, everyMs } = options
  const { limits } = api
  const nodes = takeConnections(server)
  const open = new Set<FastConnection>()
  const young = new YoungConnections(server, connections, limits)
  const desk: Desk = {
    api,
    writer: new AnswerWriter(limits.keepAliveMs),
    ahead: { count: 0 },
    closing,
    handOver(connection, bytes, ended) {
      const { socket, hasAnswered, beganAt } = connection
      open.delete(connection)
      nodes(socket)
      // In one piece: behind the first one Node's parser may rest.
      if (bytes.length > 0) socket.emit('data', bytes)
      if (ended) socket.emit('end')
      if (!hasAnswered) young.add(socket, beganAt)
    },
    closed: connection => open.delete(connection),
  }
  const look = (): void => {
    const now = performance.now()
    for (const connection of open) lookAt(connection, limits, now)
    young.look(now)
  }
  server.on('connection', socket => open.add(new FastConnection(socket, desk)))
  const looking = setInterval(look, everyMs).unref()
  server.once('close', () => clearInterval(looking))
  return {
    closeIdle() {
      for (const { socket, quietSince, hasAnswered } of open) {
        if (quietSince !== null && hasAnswered) socket.destroy()
      }
    },
    closeAll() {
      for (const { socket } of open) socket.destroy()
    },
  }
}

/** Takes Node's own listener off a server. @returns it: Node reads what it is called with */
function takeConnections(server: Server): (socket: Socket) => void {
  const [own] = server.listeners('connection')
  assert(own !== undefined, 'a server listens to its connections from its beginning')
  server.off('connection', own as () => void)
  return socket => own.call(server, socket)
}

/** What is slow is Node's, which has the time-outs for it; what was idle for too long ends. */
function lookAt(connection: FastConnection, limits: HttpLimits, now: number): void {
  const { socket, quietSince, hasAnswered } = connection
  if (connection.waitsStill()) connection.handOver()
  else if (quietSince === null) return
  else if (!hasAnswered && now - quietSince > limits.headTimeoutMs) connection.handOver()
  else if (hasAnswered && now - quietSince > limits.keepAliveMs) socket.destroy()
}
