import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

/** Stands between two nodes, and cuts their connections when told to. */
export class Relay {
  readonly port: number
  /** that went to the target */
  bytes = 0
  /** Sees every piece before it is passed on. */
  onBytes: () => void = () => {}
  readonly #sockets = new Set<Socket>()
  #holds = false

  private constructor(port: number) {
    this.port = port
  }

  static async to(t: Test, target: number): Promise<Relay> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (typeof address !== 'object' || address === null) throw new Error('no port')
    const relay = new Relay(address.port)
    server.on('connection', socket => relay.#join(socket, target))
    t.teardown(() => {
      server.close()
      relay.cut()
    })
    return relay
  }

  /** Breaks every connection; new ones are let through. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** From now on nothing is read any more, and nothing is closed. */
  hold(): void {
    this.#holds = true
    for (const socket of this.#sockets) socket.pause()
  }

  #join(near: Socket, target: number): void {
    const far = connect(target, '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from)
      from.on('error', () => {})
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
    }
    near.on('data', chunk => {
      this.bytes += chunk.length
      this.onBytes()
      if (!this.#holds) far.write(chunk)
    })
    far.pipe(near)
  }
}
