import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

interface Connection {
  /** requests that were received and have no answer yet; above one when they were pipelined */
  unanswered: number
  latest: IncomingMessage | null
  /** an answer was written past Node's own bookkeeping: nothing more may follow it */
  refused: boolean
}

/** What each connection owes its client, so that an error never looks like the answer to another request. */
export class Connections {
  readonly #bySocket = new WeakMap<Socket, Connection>()

  began(incoming: IncomingMessage): void {
    const connection = this.#of(incoming.socket)
    connection.unanswered++
    connection.latest = incoming
  }

  answered(incoming: IncomingMessage): void {
    this.#of(incoming.socket).unanswered--
  }

  /**
   * Whether what is written next answers the request that the parser choked on, or that came too slowly.
   * Not so when an earlier one still waits for its outcome, or when the present one has its answer.
   */
  mayRefuse(socket: Socket): boolean {
    const { unanswered, latest, refused } = this.#of(socket)
    const midway = latest !== null && !latest.complete
    return !refused && unanswered === (midway ? 1 : 0)
  }

  refused(socket: Socket): void {
    this.#of(socket).refused = true
  }

  wasRefused(socket: Socket): boolean {
    return this.#of(socket).refused
  }

  #of(socket: Socket): Connection {
    let connection = this.#bySocket.get(socket)
    if (connection === undefined) {
      connection = { unanswered: 0, latest: null, refused: false }
      this.#bySocket.set(socket, connection)
    }
    return connection
  }
}
