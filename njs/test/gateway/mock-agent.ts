/** An agent as the gateway sees it: HTTP on a port and on a unix socket, with a leader to tell and a behaviour to set. */

import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** `relay`: where nginx comes with what is for other nodes. */
type Via = 'socket' | 'port' | 'relay'

/** A request as it arrived: the target's bytes as latin1, never decoded. */
export interface Arrival {
  readonly method: string
  readonly target: string
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
  readonly via: Via
}

export type Behaviour = (arrival: Arrival, response: http.ServerResponse) => void

/** The brief status: who leads, by this agent's belief. */
export interface Belief {
  readonly me: { readonly id: string }
  readonly leader: {
    readonly id: string
    readonly http: string
    readonly gateway: string | null
  } | null
  readonly term: number
  readonly padding?: string
  /** It takes writes to other nodes. */
  readonly relay?: boolean
}

export const applied: Behaviour = (_, response) => {
  response.end('applied\n')
}

export const notLeader: Behaviour = (_, response) => {
  response.writeHead(421).end('not me\n')
}

/** Reads the whole request, then closes the connection without a byte of an answer. */
export const dies: Behaviour = (_, response) => {
  response.socket?.destroy()
}

export const hangs: Behaviour = () => {}

export class MockAgent {
  readonly arrivals: Arrival[] = []
  /** how often it was asked who leads */
  asked = 0
  belief: Belief
  behaviour: Behaviour = applied
  readonly port: number
  #servers: http.Server[]
  #sockets = new Set<Socket>()

  private constructor(id: string, port: number, servers: http.Server[]) {
    this.port = port
    this.belief = { me: { id }, leader: null, term: 1 }
    this.#servers = servers
  }

  static async start(id: string, socket: string): Promise<MockAgent> {
    const servers = [http.createServer(), http.createServer(), http.createServer()]
    const [onPort, onSocket, onRelay] = servers
    if (!onPort || !onSocket || !onRelay) throw new Error('unreachable')
    await once(onPort.listen(0, '127.0.0.1'), 'listening')
    await once(onSocket.listen(socket), 'listening')
    await once(onRelay.listen(`${socket}.relay`), 'listening')
    const agent = new MockAgent(id, (onPort.address() as AddressInfo).port, servers)
    agent.#serve(onPort, 'port')
    agent.#serve(onSocket, 'socket')
    agent.#serve(onRelay, 'relay')
    return agent
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  /** Frees its port and socket at once, as a killed process does. Harmless when repeated. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    const closing = this.#servers.map(server => new Promise(done => server.close(done)))
    await Promise.all(closing)
  }

  #serve(server: http.Server, via: Via): void {
    server.keepAliveTimeout = 75_000
    server.on('connection', socket => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    server.on('request', (request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => this.#answer(request, Buffer.concat(chunks), { via, response }))
    })
  }

  #answer(
    request: http.IncomingMessage,
    body: Buffer,
    { via, response }: { via: Via; response: http.ServerResponse },
  ): void {
    const target = request.url ?? ''
    if (target === '/status?brief=1') {
      this.asked += 1
      response.setHeader('Content-Type', 'application/json')
      if (this.belief.leader !== null) response.setHeader('X-Raft-Leader', this.belief.leader.id)
      if (this.belief.relay) response.setHeader('X-Raft-Relay', 'yes')
      response.end(JSON.stringify(this.belief))
      return
    }
    const arrival = { method: request.method ?? '', target, headers: request.headers, body, via }
    this.arrivals.push(arrival)
    this.behaviour(arrival, response)
  }
}
