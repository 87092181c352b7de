import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Reply } from '../reply.ts'

/** What Node refuses in a header as well: else a stored Content-Type could begin an answer of its own. */
const UNSAFE = /[^\t\x20-\x7e\x80-\xff]/

const STATUS_LINES: ReadonlyMap<number, string> = new Map(
  Object.entries(STATUS_CODES).map(([code, words]) => [
    Number(code),
    `HTTP/1.1 ${code} ${words}\r\n`,
  ]),
)

export interface Ending {
  /** The connection ends with this answer. */
  readonly closes: boolean
  readonly bodiless: boolean
}

/** Writes answers as node:http does: the same headers in the same order. */
export class AnswerWriter {
  readonly #kept: string
  #second = 0
  #date = ''

  /** @param keepAliveMs how long a connection may be idle */
  constructor(keepAliveMs: number) {
    const seconds = Math.floor(keepAliveMs / 1000)
    const hint = keepAliveMs > 0 ? `Keep-Alive: timeout=${seconds}\r\n` : ''
    this.#kept = `Connection: keep-alive\r\n${hint}\r\n`
  }

  /**
   * In one packet where it fits.
   * @param done once the kernel has it, or the connection is gone
   * @throws TypeError where a header has characters that no header has; then nothing is written
   */
  write(socket: Socket, reply: Reply, { closes, bodiless }: Ending, done: () => void): void {
    const head = this.#head(reply, closes)
    const { headers, body } = reply
    if (bodiless || body.length === 0) socket.write(head, 'latin1', done)
    // Its announced length shows that all of it is ASCII, and may be written byte for byte.
    else if (typeof body === 'string' && headers['Content-Length'] === String(body.length)) {
      socket.write(head + body, 'latin1', done)
    } else {
      socket.cork()
      socket.write(head, 'latin1')
      socket.write(body, done)
      socket.uncork()
    }
  }

  #head({ status, headers }: Reply, closes: boolean): string {
    let text = STATUS_LINES.get(status) ?? `HTTP/1.1 ${status} unknown\r\n`
    for (const name in headers) {
      const value = headers[name] as string
      if (UNSAFE.test(value)) throw new TypeError(`a character that no header has, in ${name}`)
      text += `${name}: ${value}\r\n`
    }
    return `${text}Date: ${this.#now()}\r\n${closes ? 'Connection: close\r\n\r\n' : this.#kept}`
  }

  #now(): string {
    const now = Date.now()
    const second = Math.floor(now / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#date = new Date(now).toUTCString()
    }
    return this.#date
  }
}
