import { ByteReader, ByteWriter, DecodeError } from '../lib/bytes.ts'
import { crc32c } from '../lib/crc32c.ts'
import type { Message } from '../raft/message.ts'
import { type Direction, decodeMessage, encodeMessage, messageBytesMax } from './codec.ts'

/** A frame is: length of the body u32, CRC-32C of the body u32, body. The body's first byte says what it is. */
export const FRAME_HEADER_BYTES = 8

/** Longest body between verified peers: far above what the core sends in one turn. */
export const BODY_BYTES_MAX = 16 * 1024 * 1024

/** First byte of a body. On the wire for ever. */
export const BODY = {
  hello: 1,
  welcome: 2,
  refusal: 3,
  messages: 4,
  ping: 5,
  pong: 6,
  chunk: 7,
  chunkAnswer: 8,
  notice: 9,
  renew: 10,
} as const

/** A frame of what `write` appends to the body. */
export function encodeFrame(write: (body: ByteWriter) => void, capacity = 256): Uint8Array {
  const writer = new ByteWriter(FRAME_HEADER_BYTES + capacity)
  const length = writer.reserveU32()
  const crc = writer.reserveU32()
  write(writer)
  writer.setU32(length, writer.length - FRAME_HEADER_BYTES)
  writer.setU32(crc, crc32c(writer.view(), FRAME_HEADER_BYTES, writer.length))
  return writer.view()
}

/**
 * Another connection is about to take the place of this one, which is read to its end (from who dialled), or shall do so
 * (from who accepted). An older program closes the connection instead, and it is opened anew.
 */
export const RENEW = encodeFrame(body => body.u8(BODY.renew))

/**
 * The messages of one turn as frames: one, unless they do not fit.
 * @param bodyBytesMax a message above it is left out: no peer would take it
 */
export function encodeMessages(
  messages: readonly Message[],
  bodyBytesMax = BODY_BYTES_MAX,
): { readonly frames: readonly Uint8Array[]; readonly leftOut: number } {
  const frames: Uint8Array[] = []
  let leftOut = 0
  let group: Message[] = []
  let bytes = 1
  const finish = () => {
    if (group.length > 0) frames.push(messagesFrame(group, bytes))
    group = []
    bytes = 1
  }
  for (const message of messages) {
    const size = messageBytesMax(message)
    if (1 + size > bodyBytesMax) {
      leftOut++
      continue
    }
    if (bytes + size > bodyBytesMax) finish()
    group.push(message)
    bytes += size
  }
  finish()
  return { frames, leftOut }
}

function messagesFrame(messages: readonly Message[], bytes: number): Uint8Array {
  return encodeFrame(body => {
    body.u8(BODY.messages)
    for (const message of messages) encodeMessage(body, message)
  }, bytes)
}

/**
 * All messages of a body whose first byte was `BODY.messages`.
 * @throws DecodeError
 */
export function decodeMessages(body: Uint8Array, direction: Direction): Message[] {
  const reader = new ByteReader(body, 1)
  const messages: Message[] = []
  while (reader.remaining > 0) messages.push(decodeMessage(reader, direction))
  return messages
}

/** Cuts a stream of chunks, however it was split, into the bodies of its frames. */
export class FrameReader {
  /** A longer body is refused by its header alone, before anything is kept for it. */
  bodyBytesMax: number
  #chunks: Uint8Array[] = []
  #buffered = 0
  /** bytes without which nothing more can be read */
  #needed = FRAME_HEADER_BYTES

  constructor(bodyBytesMax: number) {
    this.bodyBytesMax = bodyBytesMax
  }

  /** Bytes of a frame that is not complete yet. */
  get buffered(): number {
    return this.#buffered
  }

  /**
   * The bodies that this chunk completes: views of it where possible, so it must not be used again.
   * @throws DecodeError; the stream has lost its frame borders and cannot be read further
   */
  push(chunk: Uint8Array): readonly Uint8Array[] {
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
    if (this.#buffered < this.#needed) return []
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks)
    const { bodies, end, needed } = this.#split(bytes)
    this.#chunks = end < bytes.length ? [bytes.subarray(end)] : []
    this.#buffered = bytes.length - end
    this.#needed = needed
    return bodies
  }

  #split(bytes: Uint8Array): { bodies: Uint8Array[]; end: number; needed: number } {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const bodies: Uint8Array[] = []
    let at = 0
    for (;;) {
      const start = at + FRAME_HEADER_BYTES
      if (start > bytes.length) return { bodies, end: at, needed: FRAME_HEADER_BYTES }
      const length = view.getUint32(at, true)
      if (length === 0 || length > this.bodyBytesMax) {
        throw new DecodeError(`a frame of ${length} bytes, allowed are 1 to ${this.bodyBytesMax}`)
      }
      const end = start + length
      if (end > bytes.length) return { bodies, end: at, needed: FRAME_HEADER_BYTES + length }
      if (crc32c(bytes, start, end) !== view.getUint32(at + 4, true)) {
        throw new DecodeError('a frame whose checksum does not match')
      }
      bodies.push(bytes.subarray(start, end))
      at = end
    }
  }
}
