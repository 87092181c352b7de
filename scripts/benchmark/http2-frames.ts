/** As much of HTTP/2 (RFC 9113) and HPACK (RFC 7541) as a gRPC client of one method needs. */

export const FRAME_HEADER_BYTES = 9
export const FRAME = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, window: 8 }
export const FLAG_ACK = 0x1
export const FLAG_END_STREAM = 0x1
export const FLAG_END_HEADERS = 0x4
const WINDOW_BYTES_MAX = 2 ** 31 - 1
const WINDOW_BYTES_START = 65_535
const SETTING_INITIAL_WINDOW = 4
/** So much may be in flight on a connection before the server has opened its window: RFC 9113 §6.9.2. */
export const REQUEST_BYTES_MAX = 60_000

export interface FrameFields {
  readonly type: number
  readonly flags: number
  readonly stream: number
}

export function frame(fields: FrameFields, payload: Buffer): Buffer {
  const whole = Buffer.alloc(FRAME_HEADER_BYTES + payload.length)
  whole.writeUIntBE(payload.length, 0, 3)
  whole[3] = fields.type
  whole[4] = fields.flags
  whole.writeUInt32BE(fields.stream, 5)
  payload.copy(whole, FRAME_HEADER_BYTES)
  return whole
}

/** What opens a connection: preface, settings, and a receive window that never ends during a run. */
export function opening(): Buffer {
  const settings = Buffer.alloc(6)
  settings.writeUInt16BE(SETTING_INITIAL_WINDOW, 0)
  settings.writeUInt32BE(WINDOW_BYTES_MAX, 2)
  return Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    frame({ type: FRAME.settings, flags: 0, stream: 0 }, settings),
    windowUpdate(WINDOW_BYTES_MAX - WINDOW_BYTES_START),
  ])
}

/** Lets the server send so much more on the connection. */
export function windowUpdate(bytes: number): Buffer {
  const increment = Buffer.alloc(4)
  increment.writeUInt32BE(bytes)
  return frame({ type: FRAME.window, flags: 0, stream: 0 }, increment)
}

/**
 * Header blocks of gRPC methods: the first enters its fields into the server's table, the others only
 * point at them, as every real client does. Where there is more than one method, their paths are spelled out.
 */
export function headerBlocks(paths: readonly string[]): {
  readonly first: readonly Buffer[]
  readonly others: readonly Buffer[]
} {
  const spelled = paths.length > 1
  const pathField = (path: string) =>
    Buffer.concat([Buffer.from([spelled ? 0x04 : 0x44]), hpackText(path)])
  const start = Buffer.from([0x83, 0x86]) // :method POST, :scheme http
  const entering = Buffer.concat([
    Buffer.from([0x41]),
    hpackText('127.0.0.1'),
    Buffer.from([0x5f]),
    hpackText('application/grpc'),
    Buffer.from([0x40]),
    hpackText('te'),
    hpackText('trailers'),
  ])
  // the youngest entry of the dynamic table is 62
  const known = Buffer.from([0x80 | 64, 0x80 | 63, 0x80 | 62])
  const first = paths.map(path => Buffer.concat([start, pathField(path), entering]))
  const others = paths.map(path =>
    Buffer.concat([start, spelled ? pathField(path) : Buffer.from([0x80 | 65]), known]),
  )
  return { first, others }
}

/** HEADERS and DATA of a whole request, in one piece. */
export function requestFrames(block: Buffer, message: Buffer, stream: number): Buffer {
  const dataAt = FRAME_HEADER_BYTES + block.length
  const whole = Buffer.allocUnsafe(dataAt + FRAME_HEADER_BYTES + message.length)
  whole.writeUIntBE(block.length, 0, 3)
  whole[3] = FRAME.headers
  whole[4] = FLAG_END_HEADERS
  whole.writeUInt32BE(stream, 5)
  whole.set(block, FRAME_HEADER_BYTES)
  whole.writeUIntBE(message.length, dataAt, 3)
  whole[dataAt + 3] = FRAME.data
  whole[dataAt + 4] = FLAG_END_STREAM
  whole.writeUInt32BE(stream, dataAt + 5)
  whole.set(message, dataAt + FRAME_HEADER_BYTES)
  return whole
}

/** A string without Huffman code; shorter than 127 bytes. */
function hpackText(text: string): Buffer {
  return Buffer.concat([Buffer.from([text.length]), Buffer.from(text, 'latin1')])
}
