import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Pipelined requests above this are left in the kernel until earlier ones have their answers. */
const WAITING_MAX = 64

interface Connection {
  /** requests that were received and have no answer yet; above one when they were pipelined */
  unanswered: number
  /** requests that ever were received */
  begun: number
  latest: IncomingMessage | null
  /** starts of the requests that wait for the one before them */
  readonly waiting: (() => void)[]
  /** a start is running: what it answers at once is seen by the loop that called it */
  starting: boolean
  /** too many wait */
  paused: boolean
  /** an answer was written past Node's own bookkeeping: nothing more may follow it */
  refused: boolean
  /** an answer said that it is the last: a client that sends again what it had sent behind it must have it once */
  over: boolean
}

/**
 * What each connection owes its client. Pipelined requests are served one after the other, as RFC 9112
 * (9.3.2) has it where one of them is a write: a read behind a write sees it.
 */
export class Connections {
  readonly #bySocket = new WeakMap<Socket, Connection>()

  /** Calls `start` when all earlier requests of this connection have been answered: now, as a rule. */
  began(incoming: IncomingMessage, start: () => void): void {
    const { socket } = incoming
    const connection = this.#of(socket)
    if (connection.over) {
      incoming.resume()
      return
    }
    connection.latest = incoming
    connection.begun++
    if (++connection.unanswered === 1) {
      start()
      return
    }
    connection.waiting.push(start)
    if (connection.waiting.length < WAITING_MAX || connection.paused) return
    connection.paused = true
    socket.pause()
  }

  /**
   * The answer is complete, though perhaps not sent yet. The next request starts once it is: a client that
   * asks for more than it reads would else have all its answers kept here (2,000 fit into one packet).
   */
  answered({ socket }: IncomingMessage, outgoing: ServerResponse): void {
    const connection = this.#of(socket)
    connection.unanswered--
    if (!outgoing.shouldKeepAlive) connection.over = true
    if (connection.waiting.length === 0 || connection.starting) return
    if (outgoing.writableFinished) startWaiting(connection, socket)
    else outgoing.once('finish', () => startWaiting(connection, socket))
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

  /** What has come of the first request. */
  firstCame(socket: Socket): 'nothing' | 'head' | 'whole' {
    const { begun, latest } = this.#of(socket)
    if (latest === null) return 'nothing'
    return begun > 1 || latest.complete ? 'whole' : 'head'
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
      connection = {
        unanswered: 0,
        begun: 0,
        latest: null,
        waiting: [],
        starting: false,
        paused: false,
        refused: false,
        over: false,
      }
      this.#bySocket.set(socket, connection)
    }
    return connection
  }
}

/** A loop, since thousands of requests that are refused at once would be as many nested calls. */
function startWaiting(connection: Connection, socket: Socket): void {
  connection.starting = true
  while (!connection.over && connection.waiting.length === connection.unanswered) {
    const next = connection.waiting.shift()
    if (next === undefined) break
    next()
  }
  connection.starting = false
  if (!connection.paused || connection.waiting.length > 0) return
  connection.paused = false
  socket.resume()
}
