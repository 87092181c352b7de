/** Closed loops of HTTP/1.1 requests: many pipelined on one connection, one write for all that a read completed. */

import { connect } from 'node:net'
import { type HttpLoopOptions, whereTo } from './http-loop.ts'
import { OneConnection } from './one-connection.ts'
import { NO_KEY } from './tally.ts'

const READ_BUFFER_BYTES = 64 * 1024
const HEAD_END = '\r\n\r\n'
const STATUS_AT = 'HTTP/1.1 '.length
/** As agents and nginx write it; an answer without it is an error here. */
const LENGTH = '\r\nContent-Length: '

export interface PipelineLoopOptions extends HttpLoopOptions {
  readonly inFlight: number
}

interface Asked {
  readonly startedAtMs: number
  readonly bodyBytesMin: number
}

/** Where in a text an answer ends, and what it is. */
interface Found {
  readonly end: number
  readonly status: number
  readonly bodyBytes: number
}

/** One connection with a fixed number of requests in flight; their answers come in their order. */
export class PipelineLoop {
  readonly #options: PipelineLoopOptions
  readonly #buffer = Buffer.allocUnsafe(READ_BUFFER_BYTES)
  /** without an answer yet, in their order */
  #asked: Asked[] = []
  #partial = ''
  #connection: OneConnection | null = null
  /** how many requests the next write starts */
  #due = 0

  constructor(options: PipelineLoopOptions) {
    this.#options = options
  }

  start(): void {
    const { endpoint, inFlight } = this.#options
    const onread = { buffer: this.#buffer, callback: (bytes: number) => this.#onBytes(bytes) }
    this.#connection = new OneConnection(connect({ ...whereTo(endpoint), onread }), {
      onConnect: () => {
        this.#due = inFlight
        this.#flush()
      },
      onFailure: reason => this.#failAll(reason),
    })
  }

  close(): void {
    this.#connection?.close()
  }

  /** Something is due: see `Tally.park`. */
  wake(): void {
    this.#flush()
  }

  #failAll(reason: string): void {
    const { tally } = this.#options
    if (this.#asked.length === 0) tally.complain(reason)
    for (const _ of this.#asked) tally.failed(reason)
    this.#asked = []
    this.#due = 0
  }

  #onBytes(bytes: number): boolean {
    const text = this.#partial + this.#buffer.toString('latin1', 0, bytes)
    let at = 0
    let answered = 0
    for (;;) {
      const found = nextAnswer(text, at)
      if (found === null) break
      at = found.end
      this.#onAnswer(this.#asked[answered], found)
      answered += 1
    }
    this.#partial = text.slice(at)
    this.#asked = this.#asked.slice(answered)
    this.#due += answered
    this.#flush()
    return true
  }

  #onAnswer(asked: Asked | undefined, { status, bodyBytes }: Found): void {
    const { tally } = this.#options
    if (asked === undefined) tally.complain('an answer that nobody asked for')
    else if (status !== 200) tally.failed(`status ${status}`)
    else if (bodyBytes < asked.bodyBytesMin) tally.failed(`body of ${bodyBytes} bytes`)
    else tally.succeeded(asked.startedAtMs)
  }

  #flush(): void {
    const { tally, requests } = this.#options
    const parts: Buffer[] = []
    for (; this.#due > 0; this.#due -= 1) {
      const key = tally.next()
      if (key === NO_KEY) {
        tally.park(this)
        break
      }
      const { bytes, bodyBytesMin } = requests.at(key)
      this.#asked.push({ startedAtMs: tally.startedAtMs, bodyBytesMin })
      parts.push(bytes)
    }
    this.#connection?.write(parts)
  }
}

/** Null while there is no whole answer at this place. @throws RangeError without a length */
export function nextAnswer(text: string, at: number): Found | null {
  const headEnd = text.indexOf(HEAD_END, at)
  if (headEnd < 0) return null
  const length = text.indexOf(LENGTH, at)
  if (length < 0 || length > headEnd) throw new RangeError('an answer without its length')
  const bodyBytes = wholeAt(text, length + LENGTH.length)
  const end = headEnd + HEAD_END.length + bodyBytes
  return end > text.length ? null : { end, status: wholeAt(text, at + STATUS_AT), bodyBytes }
}

/** The decimal number that begins here. */
function wholeAt(text: string, from: number): number {
  let value = 0
  for (let at = from; ; at += 1) {
    const digit = text.charCodeAt(at) - 48
    if (!(digit >= 0 && digit <= 9)) return value
    value = value * 10 + digit
  }
}
