/** What travels on a connection that many lanes share: pure. */

import { DecodeError } from '../lib/bytes.ts'

/** On the wire for ever. Only `data` has bytes behind it. */
export const FRAME = {
  data: 1,
  /** This end sends no more on the lane. */
  end: 2,
  /** The lane is gone, with what was under way. */
  reset: 3,
  /** So many bytes of the lane may follow those that were allowed before. */
  credit: 4,
  /** It lives. */
  ping: 5,
  /** A new connection is to take this one's place. */
  renew: 6,
  /** From whoever dialled: its lanes count up. */
  open: 7,
} as const

/** Kind, number of bytes in three, lane in four. */
export const HEADER_BYTES = 8
/** Others do not wait longer than for this. */
export const DATA_BYTES_MAX = 64 * 1024
const COUNT_MAX = 0xff_ff_ff

/** @param count of the bytes that follow, or that may be sent */
export function laneFrame(kind: number, lane: number, count: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES)
  header.writeUInt32BE(kind * (COUNT_MAX + 1) + count, 0)
  header.writeUInt32BE(lane, 4)
  return header
}

/** What has come, in its order. */
export interface LaneFrames {
  /** A piece of what came together, which may have come in parts. */
  onData(lane: number, bytes: Buffer): void
  /** @param kind none that has bytes */
  onFrame(kind: number, lane: number, count: number): void
}

/** Keeps nothing but the beginning of a header: bytes are passed on as they come. */
export class LaneReader {
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #have = 0
  /** of the piece that is being read */
  #lane = 0
  #missing = 0

  /** @throws DecodeError for what is none of it */
  read(chunk: Buffer, frames: LaneFrames): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#missing > 0) {
        const end = Math.min(at + this.#missing, chunk.length)
        this.#missing -= end - at
        frames.onData(this.#lane, chunk.subarray(at, end))
        at = end
      } else {
        const taken = chunk.copy(this.#header, this.#have, at)
        at += taken
        this.#have += taken
        if (this.#have === HEADER_BYTES) this.#begin(frames)
      }
    }
  }

  #begin(frames: LaneFrames): void {
    this.#have = 0
    const kind = this.#header.readUInt8(0)
    const count = this.#header.readUIntBE(1, 3)
    const lane = this.#header.readUInt32BE(4)
    if (kind < FRAME.data || kind > FRAME.open) throw new DecodeError('no frame of a lane')
    if (kind !== FRAME.data) frames.onFrame(kind, lane, count)
    else if (count > DATA_BYTES_MAX) throw new DecodeError('too many bytes in one frame')
    else {
      this.#lane = lane
      this.#missing = count
    }
  }
}
