/** Closed loops of unary gRPC calls with large messages: Node's HTTP/2, which keeps windows. Dearer than grpc-loop.ts. */

import { type ClientHttp2Session, connect } from 'node:http2'
import type { GrpcLoopOptions } from './grpc-loop.ts'
import { GRPC_METHODS } from './requests.ts'
import { NO_KEY } from './tally.ts'

/** One connection with a fixed number of calls in flight. */
export class GrpcStreamLoop {
  readonly #options: GrpcLoopOptions
  #session: ClientHttp2Session | null = null
  #free = 0

  constructor(options: GrpcLoopOptions) {
    this.#options = options
  }

  start(): void {
    const { endpoint, streams, tally } = this.#options
    if (endpoint.kind !== 'tcp') throw new TypeError('gRPC here is TCP only')
    const session = connect(`http://${endpoint.host}:${endpoint.port}`)
    this.#session = session
    session.on('error', error => tally.complain(error.message))
    session.once('connect', () => {
      this.#free = streams
      this.wake()
    })
  }

  close(): void {
    this.#session?.destroy()
  }

  /** Something is due: see `Tally.park`. */
  wake(): void {
    const { tally } = this.#options
    for (; this.#free > 0; this.#free -= 1) {
      const key = tally.next()
      if (key === NO_KEY) {
        tally.park(this)
        return
      }
      this.#call(key)
    }
  }

  #call(key: number): void {
    const { tally, requests } = this.#options
    const { startedAtMs } = tally
    const { bytes, method, bodyBytesMin } = requests.at(key)
    const stream = this.#session?.request({
      ':method': 'POST',
      ':path': GRPC_METHODS[method] ?? '',
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    if (stream === undefined) return
    let bodyBytes = 0
    let failure: string | null = 'no trailers'
    stream.on('data', (chunk: Buffer) => {
      bodyBytes += chunk.length
    })
    stream.on('trailers', trailers => {
      failure = trailers['grpc-status'] === '0' ? null : `status ${trailers['grpc-status']}`
    })
    stream.on('error', error => {
      failure = error.message
    })
    stream.once('close', () => {
      if (failure === null && bodyBytes < bodyBytesMin) failure = `answer of ${bodyBytes} bytes`
      if (failure === null) tally.succeeded(startedAtMs)
      else tally.failed(failure)
      this.#free += 1
      this.wake()
    })
    stream.end(bytes)
  }
}
