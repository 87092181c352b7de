/** A closed loop over one kept-alive HTTP/1.1 connection, as cheap as Node allows. */

import { connect, type Socket } from 'node:net'
import type { Endpoint } from './job.ts'
import type { Requests } from './requests.ts'
import { NO_KEY, type Tally } from './tally.ts'

const READ_BUFFER_BYTES = 64 * 1024
const RECONNECT_MS = 20
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i
const CLOSING = /\r\nconnection: *close/i
const CHUNKED = /\r\ntransfer-encoding: *chunked/i
const LAST_CHUNK = '0\r\n\r\n'

export interface HttpLoopOptions {
  readonly endpoint: Endpoint
  readonly requests: Requests
  readonly tally: Tally
}

interface Answer {
  readonly status: number
  readonly bodyBytes: number
  readonly closing: boolean
}

/** One slot of concurrency: one connection, one request in flight, the next as soon as the answer is whole. */
export class HttpLoop {
  readonly #options: HttpLoopOptions
  /** shared by all reads of this connection: an answer in parts is kept in `#partial` */
  readonly #buffer = Buffer.allocUnsafe(READ_BUFFER_BYTES)
  #partial: string | null = null
  #socket: Socket | null = null
  #startedAtMs = 0
  #bodyBytesMin = 0
  #asking = false
  #closed = false

  constructor(options: HttpLoopOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#closed) return
    const { endpoint } = this.#options
    const onread = {
      buffer: this.#buffer,
      callback: (bytes: number) => this.#onBytes(bytes),
    }
    const socket = connect({ ...whereTo(endpoint), onread })
    this.#socket = socket
    this.#partial = null
    socket.once('connect', () => this.#ask())
    socket.once('error', error => this.#fail(error.message))
    socket.once('close', () => this.#onClose(socket))
  }

  close(): void {
    this.#closed = true
    this.#socket?.destroy()
  }

  /** Something is due: see `Tally.park`. */
  wake(): void {
    if (!this.#asking && this.#socket?.readyState === 'open') this.#ask()
  }

  #ask(): void {
    const { tally, requests } = this.#options
    const key = tally.next()
    if (key === NO_KEY) {
      tally.park(this)
      return
    }
    const { bytes, bodyBytesMin } = requests.at(key)
    this.#asking = true
    this.#bodyBytesMin = bodyBytesMin
    this.#startedAtMs = tally.startedAtMs
    this.#socket?.write(bytes)
  }

  #onBytes(bytes: number): boolean {
    let text = this.#buffer.toString('latin1', 0, bytes)
    if (this.#partial !== null) text = this.#partial + text
    const answer = parseAnswer(text)
    this.#partial = answer === null ? text : null
    if (answer !== null) this.#onAnswer(answer)
    return true
  }

  #onAnswer(answer: Answer): void {
    if (!this.#asking) return
    this.#asking = false
    const { tally } = this.#options
    if (answer.status !== 200 && answer.status !== 201) tally.failed(`status ${answer.status}`)
    else if (answer.bodyBytes < this.#bodyBytesMin)
      tally.failed(`body of ${answer.bodyBytes} bytes`)
    else tally.succeeded(this.#startedAtMs)
    if (answer.closing) this.#socket?.destroy()
    else this.#ask()
  }

  #fail(reason: string): void {
    if (this.#asking) this.#options.tally.failed(reason)
    else this.#options.tally.complain(reason)
    this.#asking = false
  }

  #onClose(socket: Socket): void {
    if (socket !== this.#socket || this.#closed) return
    if (this.#asking) this.#fail('connection closed')
    setTimeout(() => this.start(), RECONNECT_MS)
  }
}

/** Null while the answer is not whole. */
export function parseAnswer(text: string): Answer | null {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd < 0) return null
  const head = text.slice(0, headEnd)
  const status = Number(head.slice(9, 12))
  const arrived = text.length - headEnd - 4
  const length = CONTENT_LENGTH.exec(head)?.[1]
  const closing = CLOSING.test(head)
  if (length !== undefined) {
    const bodyBytes = Number(length)
    return arrived < bodyBytes ? null : { status, bodyBytes, closing }
  }
  if (CHUNKED.test(head) && !text.endsWith(LAST_CHUNK)) return null
  return { status, bodyBytes: arrived, closing }
}

/** For `net.connect`. */
export function whereTo(endpoint: Endpoint) {
  return endpoint.kind === 'tcp'
    ? { host: endpoint.host, port: endpoint.port, noDelay: true }
    : { path: endpoint.path }
}
