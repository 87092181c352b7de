/** A node that serves HTTP to lanes, another one's relay, and nginx's connections to it. */

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import type { Test } from 'tap'
import { SystemClock } from '../../src/clock/system-clock.ts'
import { type Relay, startRelay } from '../../src/gateway/relay.ts'
import { asNodeId } from '../../src/raft/types.ts'
import type { Credentials } from '../../src/tls/credentials.ts'
import { LaneLinks } from '../../src/transport/lane-links.ts'
import { Lanes } from '../../src/transport/lanes.ts'
import type { TlsWire } from '../../src/transport/tls-wire.ts'
import { wireOf } from '../transport/tls-harness.ts'

export const [self, leader] = [asNodeId('node0'), asNodeId('node1')]

type Serve = (incoming: IncomingMessage, outgoing: ServerResponse) => void

/** All of its body. */
export async function bodyOf(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** The leader's agent, as far as lanes go. */
export async function node(t: Test, credentials: Credentials, serve: Serve) {
  const wire = wireOf(leader, credentials)
  const clock = new SystemClock()
  const http = createServer(serve)
  const arrived: Socket[] = []
  const { server } = wire.entrance(
    {
      onArrival: ({ socket, language }) => {
        arrived.push(socket)
        t.equal(language, 'gateway')
        const onLane = (lane: unknown) => http.emit('connection', lane)
        const lanes = new Lanes(socket, { clock, onLane })
        const cancel = wire.onChange(() => {
          if (!wire.trusts(socket)) lanes.renew()
        })
        socket.once('close', cancel)
      },
      onTurnedAway: () => {},
    },
    { after: (ms, task) => clock.after(ms, task), handshakeMs: 5_000, strangersMax: 64 },
  )
  const port = await listening(t, server)
  t.teardown(() => {
    for (const socket of arrived) socket.destroy()
  })
  return { wire, port, arrived }
}

export async function listening(t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

export interface Beside {
  readonly wire: TlsWire
  readonly relay: Relay
  readonly log: string[]
  /** to the leader, those that ended too */
  readonly dialled: readonly Socket[]
  /** as nginx does */
  connect(): Client
}

/** The relay of another node, to which the leader is at that port. */
export async function beside(t: Test, credentials: Credentials, port: number): Promise<Beside> {
  const wire = wireOf(self, credentials)
  const log: string[] = []
  const dialled: Socket[] = []
  const directory = mkdtempSync(join(tmpdir(), 'relay-'))
  const lanes = new LaneLinks({
    wire: {
      entrance: (handler, limits) => wire.entrance(handler, limits),
      trusts: socket => wire.trusts(socket),
      onChange: callback => wire.onChange(callback),
      dial: (dialling, onOpen) => {
        const socket = wire.dial(dialling, onOpen)
        dialled.push(socket)
        return socket
      },
    },
    clock: new SystemClock(),
    addressOf: peer => (peer === leader ? { host: '127.0.0.1', port } : null),
    log: (_, line) => log.push(line),
  })
  const path = join(directory, 'agent.sock.relay')
  const wayTo: Parameters<typeof startRelay>[0]['wayTo'] = (to, take) =>
    lanes.lane(asNodeId(to), take)
  const relay = await startRelay({ path, mode: 0o600, wayTo })
  t.teardown(async () => {
    await relay.close()
    lanes.close()
    rmSync(directory, { recursive: true })
  })
  return { wire, relay, log, dialled, connect: () => new Client(t, path) }
}

/** One connection of nginx's. */
export class Client {
  readonly socket: Socket
  closed = false
  #came = Buffer.alloc(0)

  constructor(t: Test, path: string) {
    this.socket = connect(path)
    this.socket.on('data', chunk => {
      this.#came = Buffer.concat([this.#came, chunk])
    })
    this.socket.on('close', () => {
      this.closed = true
    })
    this.socket.on('error', () => {})
    t.teardown(() => this.socket.destroy())
  }

  ask(target: string, body: string | Buffer = '', to: string = leader): void {
    this.head(target, body.length, to)
    this.socket.write(body)
  }

  head(target: string, length: number, to: string = leader): void {
    this.socket.write(
      `POST ${target} HTTP/1.1\r\nX-Raft-To: ${to}\r\nX-Raft-Hop: 1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`,
    )
  }

  /** Status and body of the next answer, or how it ended without one. */
  async answer(): Promise<{ readonly status: number; readonly body: Buffer } | 'closed'> {
    for (;;) {
      const end = this.#came.indexOf('\r\n\r\n')
      const head = end === -1 ? '' : this.#came.toString('latin1', 0, end)
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? Number.NaN)
      const whole = end + 4 + length
      if (end !== -1 && this.#came.length >= whole) {
        const body = this.#came.subarray(end + 4, whole)
        this.#came = this.#came.subarray(whole)
        return { status: Number(head.slice(9, 12)), body }
      }
      if (this.closed) return 'closed'
      await turn()
    }
  }
}
