import type { Socket } from 'node:net'
import type { Cancel, Clock } from '../clock/clock.ts'
import { DecodeError } from '../lib/bytes.ts'
import { Lane, type LaneCarrier } from './lane.ts'
import { FRAME, type LaneFrames, LaneReader, laneFrame } from './lane-frame.ts'

/** Unsent bytes of all lanes above which each of them waits. */
const QUEUE_BYTES_MAX = 1024 * 1024
/** Above it the other end takes nothing, and makes this one say more and more: answers to frames wait for no room. */
const KEPT_BYTES_MAX = 4 * QUEUE_BYTES_MAX
/** Lanes at a time, so that no peer makes this node keep more. */
export const LANES_MAX = 4096
const PING_MS = 1_000
/** Counted, not timed: a stall of this process kills no connection. */
const SILENT_PINGS_MAX = 5
const LANE_ID_MAX = 0xff_ff_ff_ff

export interface LanesOptions {
  readonly clock: Clock
  /** The other end has opened one. Null: it may not. */
  readonly onLane: ((lane: Lane) => void) | null
  /** The other end asks for a new connection in place of this one. */
  readonly onRenew?: () => void
}

/**
 * Many lanes on one connection, which is proven and encrypted once for all of them. What they send in one turn of the
 * event loop leaves together.
 */
export class Lanes {
  readonly socket: Socket
  readonly #options: LanesOptions
  readonly #lanes = new Map<number, Lane>()
  readonly #carrier: LaneCarrier
  #out: Buffer[] = []
  /** that the kernel does not have yet */
  #unsentBytes = 0
  /** a lane waits */
  #isFull = false
  #lastId = 0
  #heard = true
  #silentPings = 0

  constructor(socket: Socket, options: LanesOptions) {
    this.socket = socket
    this.#options = options
    this.#carrier = {
      hasRoom: () => this.#hasRoom(),
      data: (id, bytes) => this.#send(laneFrame(FRAME.data, id, bytes.length), bytes),
      end: id => this.#send(laneFrame(FRAME.end, id, 0)),
      reset: id => this.#send(laneFrame(FRAME.reset, id, 0)),
      credit: (id, bytes) => this.#send(laneFrame(FRAME.credit, id, bytes)),
      forget: id => this.#lanes.delete(id),
    }
    this.#listen(options.clock.every(PING_MS, () => this.#tick()))
  }

  get size(): number {
    return this.#lanes.size
  }

  /** Null: there are too many. */
  open(): Lane | null {
    if (this.#lanes.size >= LANES_MAX || this.#lastId === LANE_ID_MAX) return null
    this.#lastId++
    this.#send(laneFrame(FRAME.open, this.#lastId, 0))
    return this.#add(this.#lastId)
  }

  /** Nothing new is to begin on it, at either end. */
  renew(): void {
    this.#send(laneFrame(FRAME.renew, 0, 0))
    this.retire()
  }

  retire(): void {
    for (const lane of [...this.#lanes.values()]) lane.retire()
  }

  #listen(cancelTicks: Cancel): void {
    const { socket } = this
    const reader = new LaneReader()
    const frames: LaneFrames = {
      onData: (id, bytes) => this.#onData(id, bytes),
      onFrame: (kind, id, count) => this.#onFrame(kind, id, count),
    }
    socket.on('data', chunk => {
      this.#heard = true
      try {
        reader.read(chunk, frames)
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error
        socket.destroy()
      }
    })
    socket.on('error', () => {})
    socket.on('end', () => socket.destroy())
    socket.on('close', () => {
      cancelTicks()
      for (const lane of [...this.#lanes.values()]) lane.destroy()
    })
  }

  #onData(id: number, bytes: Buffer): void {
    // What belongs to one that is gone comes too late.
    this.#lanes.get(id)?.onData(bytes)
  }

  #onOpened(id: number): void {
    const { onLane } = this.#options
    if (onLane === null || id <= this.#lastId) return
    this.#lastId = id
    if (this.#lanes.size >= LANES_MAX) this.#send(laneFrame(FRAME.reset, id, 0))
    else onLane(this.#add(id))
  }

  #onFrame(kind: number, id: number, count: number): void {
    const lane = this.#lanes.get(id)
    if (kind === FRAME.open) this.#onOpened(id)
    else if (kind === FRAME.renew) this.#options.onRenew?.()
    else if (kind === FRAME.end) lane?.onEnd()
    else if (kind === FRAME.reset) lane?.onReset()
    else if (kind === FRAME.credit) lane?.onCredit(count)
  }

  #add(id: number): Lane {
    const lane = new Lane(id, this.#carrier)
    this.#lanes.set(id, lane)
    return lane
  }

  #send(...parts: readonly Buffer[]): void {
    if (this.socket.destroyed) return
    if (this.#out.length === 0) this.#options.clock.soon(() => this.#flush())
    for (const part of parts) {
      this.#out.push(part)
      this.#unsentBytes += part.length
    }
    if (this.#unsentBytes > KEPT_BYTES_MAX) this.socket.destroy()
  }

  #flush(): void {
    const bytes = Buffer.concat(this.#out)
    this.#out = []
    if (!this.socket.destroyed) this.socket.write(bytes, () => this.#onSent(bytes.length))
  }

  #hasRoom(): boolean {
    if (this.#unsentBytes < QUEUE_BYTES_MAX) return true
    this.#isFull = true
    return false
  }

  #onSent(bytes: number): void {
    this.#unsentBytes -= bytes
    if (!this.#isFull) return
    this.#isFull = false
    for (const lane of [...this.#lanes.values()]) lane.onRoom()
  }

  /** Both ends do so: whoever hears nothing for long has nobody there. */
  #tick(): void {
    this.#silentPings = this.#heard ? 0 : this.#silentPings + 1
    this.#heard = false
    if (this.#silentPings > SILENT_PINGS_MAX) this.socket.destroy()
    else this.#send(laneFrame(FRAME.ping, 0, 0))
  }
}
