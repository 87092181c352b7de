import type { Socket } from 'node:net'

/** What a loop makes of its connection. */
export interface ConnectionUser {
  onConnect(): void
  /** no answer comes any more */
  onFailure(reason: string): void
}

/** A loop's connection, opened once: where the server closes it, the run shows the error. */
export class OneConnection {
  readonly #socket: Socket
  #closed = false

  constructor(socket: Socket, user: ConnectionUser) {
    this.#socket = socket
    socket.once('connect', () => user.onConnect())
    socket.once('error', error => user.onFailure(error.message))
    socket.once('close', () => {
      if (!this.#closed) user.onFailure('connection closed')
    })
  }

  write(parts: readonly Buffer[]): void {
    if (parts.length === 0) return
    this.#socket.write(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts))
  }

  close(): void {
    this.#closed = true
    this.#socket.destroy()
  }
}
