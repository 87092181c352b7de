/** A closed loop over one connection to Redis. */

import { connect, type Socket } from 'node:net'
import type { Endpoint } from './job.ts'
import type { Requests } from './requests.ts'
import { NO_KEY, type Tally } from './tally.ts'

const LINE_END = '\r\n'

export interface RespLoopOptions {
  readonly endpoint: Endpoint
  readonly requests: Requests
  readonly tally: Tally
}

/** One slot of concurrency: the next command as soon as the answer is whole. */
export class RespLoop {
  readonly #options: RespLoopOptions
  #socket: Socket | null = null
  #received = ''
  #startedAtMs = 0
  #bodyBytesMin = 0
  #asking = false
  #closed = false

  constructor(options: RespLoopOptions) {
    this.#options = options
  }

  start(): void {
    const { endpoint } = this.#options
    const where = endpoint.kind === 'tcp' ? { host: endpoint.host, port: endpoint.port } : endpoint
    const socket = connect({ ...where, noDelay: true })
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.once('connect', () => this.wake())
    socket.on('data', (text: string) => this.#onText(text))
    socket.once('error', error => this.#options.tally.complain(error.message))
    socket.once('close', () => this.#onClose())
  }

  close(): void {
    this.#closed = true
    this.#socket?.destroy()
  }

  /** Something is due: see `Tally.park`. */
  wake(): void {
    if (this.#asking || this.#socket?.readyState !== 'open') return
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
    this.#socket.write(bytes)
  }

  #onText(text: string): void {
    this.#received += text
    const bytes = answerBytes(this.#received)
    if (bytes === null || !this.#asking) return
    this.#asking = false
    const { tally } = this.#options
    if (this.#received.startsWith('-')) tally.failed(this.#received.trim())
    else if (bytes < this.#bodyBytesMin) tally.failed(`answer of ${bytes} bytes`)
    else tally.succeeded(this.#startedAtMs)
    this.#received = ''
    this.wake()
  }

  #onClose(): void {
    if (this.#asking && !this.#closed) this.#options.tally.failed('connection closed')
    this.#asking = false
  }
}

/** Of a simple or a bulk string; null while it is not whole. */
function answerBytes(text: string): number | null {
  const lineEnd = text.indexOf(LINE_END)
  if (lineEnd < 0) return null
  if (!text.startsWith('$')) return lineEnd - 1
  const bytes = Number(text.slice(1, lineEnd))
  if (bytes < 0) return 0
  return text.length >= lineEnd + LINE_END.length + bytes + LINE_END.length ? bytes : null
}
