import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Connections } from '../connections.ts'
import type { HttpLimits } from '../limits.ts'
import { TIMEOUT } from '../parser-errors.ts'

/**
 * Connections that came to Node before they had their first answer. Node counts a first request's time from when it got
 * the connection; it counts from the connection's beginning all the same.
 */
export class YoungConnections {
  readonly #server: Server
  readonly #connections: Connections
  readonly #limits: HttpLimits
  /** when each began, monotonic ms */
  readonly #beganAt = new Map<Socket, number>()

  constructor(server: Server, connections: Connections, limits: HttpLimits) {
    this.#server = server
    this.#connections = connections
    this.#limits = limits
  }

  add(socket: Socket, beganAt: number): void {
    if (this.#connections.firstCame(socket) !== 'whole') this.#beganAt.set(socket, beganAt)
  }

  /** Ends those that are late. */
  look(now: number): void {
    for (const [socket, beganAt] of this.#beganAt) {
      const came = this.#connections.firstCame(socket)
      if (socket.destroyed || came === 'whole') this.#beganAt.delete(socket)
      else if (now - beganAt > this.#timeoutMs(came)) {
        this.#beganAt.delete(socket)
        const error = Object.assign(new Error('Request timeout'), { code: TIMEOUT })
        this.#server.emit('clientError', error, socket)
      }
    }
  }

  #timeoutMs(came: 'nothing' | 'head'): number {
    const { headTimeoutMs, requestTimeoutMs } = this.#limits
    return came === 'nothing' ? headTimeoutMs : requestTimeoutMs
  }
}
