/** Closed loops of unary gRPC calls: many streams on one connection, one write for all that a read completed. */

import { connect } from 'node:net'
import {
  FLAG_ACK,
  FLAG_END_STREAM,
  FRAME,
  FRAME_HEADER_BYTES,
  frame,
  headerBlocks,
  opening,
  requestFrames,
  windowUpdate,
} from './http2-frames.ts'
import type { Endpoint } from './job.ts'
import { OneConnection } from './one-connection.ts'
import { GRPC_HEADER_BYTES } from './protobuf.ts'
import { GRPC_METHODS, type Prepared, type Requests } from './requests.ts'
import { NO_KEY, type Tally } from './tally.ts'

const WINDOW_RENEWED_AFTER_BYTES = 2 ** 24

export interface GrpcLoopOptions {
  readonly endpoint: Endpoint
  /** which of `GRPC_METHODS` are called */
  readonly methods: readonly number[]
  readonly requests: Requests
  readonly tally: Tally
  readonly streams: number
}

/** A call under way. A unary server sends its message only on success: bytes are the proof of status 0. */
interface Call {
  readonly startedAtMs: number
  readonly bodyBytesMin: number
  bodyBytes: number
}

/** One connection with a fixed number of calls in flight. */
export class GrpcLoop {
  readonly #options: GrpcLoopOptions
  readonly #calls = new Map<number, Call>()
  readonly #blocks: ReturnType<typeof headerBlocks>
  #connection: OneConnection | null = null
  #rest: Buffer | null = null
  #nextStream = 1
  #receivedBytes = 0
  /** how many requests the next write starts */
  #due = 0
  #control: Buffer[] = []

  constructor(options: GrpcLoopOptions) {
    this.#options = options
    this.#blocks = headerBlocks(options.methods.map(method => GRPC_METHODS[method] ?? ''))
  }

  start(): void {
    const { endpoint, streams } = this.#options
    if (endpoint.kind !== 'tcp') throw new TypeError('gRPC here is TCP only')
    const socket = connect({ host: endpoint.host, port: endpoint.port, noDelay: true })
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    this.#connection = new OneConnection(socket, {
      onConnect: () => {
        this.#control.push(opening())
        this.#due = streams
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
    if (this.#calls.size === 0) this.#options.tally.complain(reason)
    for (const stream of [...this.#calls.keys()]) this.#settle(stream, reason)
    this.#due = 0
  }

  #onData(chunk: Buffer): void {
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    while (bytes.length - at >= FRAME_HEADER_BYTES) {
      const end = at + FRAME_HEADER_BYTES + bytes.readUIntBE(at, 3)
      if (end > bytes.length) break
      this.#onFrame(bytes, at, end)
      at = end
    }
    this.#rest = at === bytes.length ? null : bytes.subarray(at)
    this.#flush()
  }

  #onFrame(bytes: Buffer, at: number, end: number): void {
    const type = bytes[at + 3]
    const flags = bytes[at + 4] ?? 0
    const stream = bytes.readUInt32BE(at + 5)
    if (type === FRAME.data) this.#onBody(stream, end - at - FRAME_HEADER_BYTES)
    if (type === FRAME.data || type === FRAME.headers) {
      if ((flags & FLAG_END_STREAM) !== 0) this.#settle(stream, null)
    } else if (type === FRAME.reset) this.#settle(stream, 'stream reset')
    else if (type === FRAME.goAway) this.#failAll('server went away')
    else if ((type === FRAME.settings || type === FRAME.ping) && (flags & FLAG_ACK) === 0) {
      const payload =
        type === FRAME.ping ? bytes.subarray(at + FRAME_HEADER_BYTES, end) : Buffer.alloc(0)
      this.#control.push(frame({ type, flags: FLAG_ACK, stream: 0 }, payload))
    }
  }

  #onBody(stream: number, bytes: number): void {
    const call = this.#calls.get(stream)
    if (call !== undefined) call.bodyBytes += bytes
    this.#receivedBytes += bytes
    if (this.#receivedBytes < WINDOW_RENEWED_AFTER_BYTES) return
    this.#control.push(windowUpdate(this.#receivedBytes))
    this.#receivedBytes = 0
  }

  #settle(stream: number, failure: string | null): void {
    const call = this.#calls.get(stream)
    if (call === undefined) return
    this.#calls.delete(stream)
    const { tally } = this.#options
    const enough = call.bodyBytes >= GRPC_HEADER_BYTES + call.bodyBytesMin
    if (failure !== null) tally.failed(failure)
    else if (enough) tally.succeeded(call.startedAtMs)
    else tally.failed(`answer of ${call.bodyBytes} bytes: the call failed`)
    this.#due += 1
  }

  #flush(): void {
    const parts = this.#control
    this.#control = []
    for (; this.#due > 0; this.#due -= 1) {
      const key = this.#options.tally.next()
      if (key === NO_KEY) {
        this.#options.tally.park(this)
        break
      }
      parts.push(this.#begin(this.#options.requests.at(key)))
    }
    this.#connection?.write(parts)
  }

  /** A call on a stream of its own. */
  #begin({ bytes, method, bodyBytesMin }: Prepared): Buffer {
    const { methods, tally } = this.#options
    const stream = this.#nextStream
    this.#nextStream += 2
    const { first, others } = this.#blocks
    const block = (stream === 1 ? first : others)[methods.indexOf(method)]
    if (block === undefined) throw new RangeError(`method ${method} was not announced`)
    this.#calls.set(stream, { startedAtMs: tally.startedAtMs, bodyBytesMin, bodyBytes: 0 })
    return requestFrames(block, bytes, stream)
  }
}
