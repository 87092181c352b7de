/** Clients that watch one key, each on a connection of its own. */

import { connect, type Socket } from 'node:net'
import { WRITTEN } from '../cluster.ts'
import {
  FLAG_ACK,
  FLAG_END_HEADERS,
  FRAME,
  FRAME_HEADER_BYTES,
  frame,
  headerBlocks,
  opening,
} from '../http2-frames.ts'
import { grpcMessage, protobufBytes } from '../protobuf.ts'

const HOST = '127.0.0.1'
const EVENT_END = '\n\n'
const CHANGE = 'event: change'

export interface WatchStream {
  close(): void
}

export interface Watched {
  /** it watches from here on */
  onOpen(): void
  /** once a change */
  onChange(): void
  onError(error: Error): void
}

/** Ours: Server-Sent Events. */
export function watchAgent(port: number, watched: Watched): WatchStream {
  const socket = opened(port, watched)
  let rest = ''
  let open = false
  socket.setEncoding('latin1')
  socket.write(`GET /v1/watch?prefix=${WRITTEN} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
  socket.on('data', (text: string) => {
    const events = (rest + text).split(EVENT_END)
    rest = events.pop() ?? ''
    for (const event of events) {
      // the first one is a bookmark that says from where on
      if (!open) watched.onOpen()
      open = true
      if (event.includes(CHANGE)) watched.onChange()
    }
  })
  return { close: () => socket.destroy() }
}

/** etcd's: a stream whose first message says that the watch exists, and whose others are changes. */
export function watchEtcd(port: number, watched: Watched): WatchStream {
  const socket = opened(port, watched)
  const [block = Buffer.alloc(0)] = headerBlocks(['/etcdserverpb.Watch/Watch']).first
  const createRequest = protobufBytes(1, protobufBytes(1, Buffer.from(WRITTEN)))
  socket.write(
    Buffer.concat([
      opening(),
      frame({ type: FRAME.headers, flags: FLAG_END_HEADERS, stream: 1 }, block),
      frame({ type: FRAME.data, flags: 0, stream: 1 }, grpcMessage(createRequest)),
    ]),
  )
  let rest: Buffer = Buffer.alloc(0)
  let open = false
  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (let end = wholeFrame(rest); end !== null; end = wholeFrame(rest)) {
      const one = rest.subarray(0, end)
      rest = rest.subarray(end)
      const answer = acknowledged(one)
      if (answer !== null) socket.write(answer)
      if (one[3] !== FRAME.data) continue
      if (open) watched.onChange()
      else watched.onOpen()
      open = true
    }
  })
  return { close: () => socket.destroy() }
}

function opened(port: number, { onError }: Watched): Socket {
  const socket = connect({ host: HOST, port, noDelay: true })
  socket.once('error', onError)
  socket.once('end', () => onError(new Error('a watch was ended by the server')))
  return socket
}

/** Where the first frame ends; null while it is not whole. */
function wholeFrame(bytes: Buffer): number | null {
  if (bytes.length < FRAME_HEADER_BYTES) return null
  const end = FRAME_HEADER_BYTES + bytes.readUIntBE(0, 3)
  return end > bytes.length ? null : end
}

function acknowledged(one: Buffer): Buffer | null {
  const type = one[3] ?? 0
  const asked = ((one[4] ?? 0) & FLAG_ACK) === 0
  if (!asked || (type !== FRAME.settings && type !== FRAME.ping)) return null
  const payload = type === FRAME.ping ? one.subarray(FRAME_HEADER_BYTES) : Buffer.alloc(0)
  return frame({ type, flags: FLAG_ACK, stream: 0 }, payload)
}
