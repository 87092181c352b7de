/** One read after another on a connection that is kept, as balancers and pools do; made anew when nginx closes it. */

import net from 'node:net'

export interface KeptAnswer {
  readonly status: number
  /** as latin1, up to the empty line */
  readonly head: string
  readonly body: string
}

/** An answer that does not come in so long does not come, ms. */
const PATIENCE_MS = 3_000

export class KeptConnection {
  readonly #port: number
  #socket: net.Socket | null = null
  #held = ''
  #settle: ((answer: KeptAnswer | null) => void) | null = null

  constructor(port: number) {
    this.#port = port
  }

  /** @returns null where the connection was lost, or no answer came */
  get(target: string): Promise<KeptAnswer | null> {
    return new Promise(resolve => {
      const socket = this.#open()
      const timer = setTimeout(() => socket.destroy(), PATIENCE_MS)
      this.#settle = answer => {
        clearTimeout(timer)
        this.#settle = null
        resolve(answer)
      }
      socket.write(`GET ${target} HTTP/1.1\r\nHost: gateway\r\n\r\n`)
    })
  }

  close(): void {
    this.#socket?.destroy()
  }

  #open(): net.Socket {
    if (this.#socket !== null) return this.#socket
    const socket = net.connect(this.#port, '127.0.0.1')
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => this.#take(text))
    socket.on('error', () => {})
    socket.on('close', () => {
      if (this.#socket !== socket) return
      this.#socket = null
      this.#held = ''
      this.#settle?.(null)
    })
    this.#socket = socket
    return socket
  }

  #take(text: string): void {
    this.#held += text
    const end = this.#held.indexOf('\r\n\r\n')
    if (end < 0) return
    const head = this.#held.slice(0, end + 2)
    const length = Number(fieldOf(head, 'Content-Length'))
    if (this.#held.length < end + 4 + length) return
    const body = this.#held.slice(end + 4, end + 4 + length)
    this.#held = ''
    this.#settle?.({ status: Number(head.slice(9, 12)), head, body })
  }
}

/** A header as nginx spells it; undefined: there is none. */
export function fieldOf(head: string, name: string): string | undefined {
  const at = head.indexOf(`\r\n${name}: `)
  return at < 0 ? undefined : head.slice(at + name.length + 4, head.indexOf('\r\n', at + 2))
}
