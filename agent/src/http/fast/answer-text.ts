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

/** What is to be written. */
export interface Answered {
  /** Null: nothing, nor anything behind it. */
  readonly reply: Reply | null
  /** It is the answer to a HEAD. */
  readonly bodiless: boolean
}

export interface Ending {
  /** The connection ends with the last of them. */
  readonly closes: boolean
  /** once the kernel has them, or the connection is gone */
  readonly done: () => void
}

/** Writes answers as node:http does: the same headers in the same order. */
export class AnswerWriter {
  readonly #kept: string
  /** The latest line of each header: most of them say the same in answer after answer. Names are this API's own. */
  readonly #latest = new Map<string, { readonly value: string; readonly line: string }>()
  #second = 0
  /** of this second, for a connection that lives on, and for one that ends */
  #keeping = ''
  #closing = ''

  /** @param keepAliveMs how long a connection may be idle */
  constructor(keepAliveMs: number) {
    const seconds = Math.floor(keepAliveMs / 1000)
    const hint = keepAliveMs > 0 ? `Keep-Alive: timeout=${seconds}\r\n` : ''
    this.#kept = `Connection: keep-alive\r\n${hint}\r\n`
  }

  /**
   * All in one system call.
   * @returns how many; fewer where the next one has a header with characters that no header has
   */
  write(socket: Socket, answers: readonly Answered[], { closes, done }: Ending): number {
    const parts: (string | Uint8Array)[] = []
    let text = ''
    let count = 0
    for (const { reply, bodiless } of answers) {
      const head = reply && this.#head(reply, closes && count === answers.length - 1)
      if (reply === null || head === null) break
      const { body, headers } = reply
      count++
      text += head
      if (bodiless || body.length === 0) continue
      // Its announced length shows that all of it is ASCII, and may be written byte for byte.
      if (typeof body === 'string' && headers['Content-Length'] === String(body.length)) {
        text += body
        continue
      }
      parts.push(text, typeof body === 'string' ? Buffer.from(body) : body)
      text = ''
    }
    if (text !== '') parts.push(text)
    writeParts(socket, parts, done)
    return count
  }

  /** Null: it cannot be written. */
  #head({ status, headers }: Reply, closes: boolean): string | null {
    let text = STATUS_LINES.get(status) ?? `HTTP/1.1 ${status} unknown\r\n`
    for (const name in headers) {
      const line = this.#line(name, headers[name] as string)
      if (line === null) return null
      text += line
    }
    return text + this.#end(closes)
  }

  /** Null: with a character that no header has. */
  #line(name: string, value: string): string | null {
    const latest = this.#latest.get(name)
    if (latest !== undefined && latest.value === value) return latest.line
    if (UNSAFE.test(value)) return null
    const line = `${name}: ${value}\r\n`
    this.#latest.set(name, { value, line })
    return line
  }

  /** From the date to the empty line. */
  #end(closes: boolean): string {
    const now = Date.now()
    const second = Math.floor(now / 1000)
    if (second !== this.#second) {
      this.#second = second
      const date = `Date: ${new Date(now).toUTCString()}\r\n`
      this.#keeping = `${date}${this.#kept}`
      this.#closing = `${date}Connection: close\r\n\r\n`
    }
    return closes ? this.#closing : this.#keeping
  }
}

function writeParts(
  socket: Socket,
  parts: readonly (string | Uint8Array)[],
  done: () => void,
): void {
  const last = parts.at(-1)
  if (last === undefined) return
  if (parts.length === 1) {
    socket.write(last, 'latin1', done)
    return
  }
  socket.cork()
  for (const part of parts.slice(0, -1)) socket.write(part, 'latin1')
  socket.write(last, 'latin1', done)
  socket.uncork()
}
