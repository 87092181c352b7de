import { Duplex } from 'node:stream'
import { DATA_BYTES_MAX } from './lane-frame.ts'

/** What may be on its way in one direction of a lane, bytes. */
export const LANE_WINDOW = 256 * 1024
const BUFFER_BYTES = 64 * 1024

/** The connection, as a lane sees it. */
export interface LaneCarrier {
  /** False: who has something to send waits for `onRoom`. */
  hasRoom(): boolean
  data(lane: number, bytes: Buffer): void
  end(lane: number): void
  reset(lane: number): void
  credit(lane: number, bytes: number): void
  /** Nothing more will come of this lane, or be asked of it. */
  forget(lane: number): void
}

/**
 * One of many byte streams that share a connection, as good as a connection of its own. What its reader does not take
 * is not sent, beyond `LANE_WINDOW`, and does not hold up the others.
 */
export class Lane extends Duplex {
  readonly id: number
  readonly #carrier: LaneCarrier
  #credit = LANE_WINDOW
  /** what may still come without a word of ours */
  #allowed = LANE_WINDOW
  #unsent: Buffer | null = null
  #sent: (() => void) | null = null
  #saidEnd = false
  #heardEnd = false
  #isRetired = false

  constructor(id: number, carrier: LaneCarrier) {
    super({ readableHighWaterMark: BUFFER_BYTES, writableHighWaterMark: BUFFER_BYTES })
    this.id = id
    this.#carrier = carrier
    // Whoever uses it sees it close.
    this.on('error', () => {})
  }

  /** Its connection is being replaced: nothing new is to begin on it. 'retire' says so. */
  get isRetired(): boolean {
    return this.#isRetired
  }

  retire(): void {
    if (this.#isRetired) return
    this.#isRetired = true
    this.emit('retire')
  }

  /** As a socket's: what was written still leaves. */
  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', () => this.destroy())
  }

  onData(bytes: Buffer): void {
    if (this.destroyed || this.#heardEnd) return
    this.#allowed -= bytes.length
    if (this.#allowed < 0) this.destroy(new Error('more than was allowed'))
    else if (this.push(bytes)) this.#allowMore()
  }

  onEnd(): void {
    if (this.#heardEnd) return
    this.#heardEnd = true
    this.push(null)
  }

  /** What came before it is still to be read; nothing that is written goes anywhere. */
  onReset(): void {
    if (!this.#heardEnd) this.destroy()
    else {
      this.#saidEnd = true
      this.#dropUnsent()
    }
  }

  onCredit(bytes: number): void {
    this.#credit += bytes
    this.onRoom()
  }

  onRoom(): void {
    while (this.#unsent !== null && this.#credit > 0 && this.#carrier.hasRoom()) {
      const length = Math.min(this.#unsent.length, this.#credit, DATA_BYTES_MAX)
      this.#credit -= length
      this.#carrier.data(this.id, this.#unsent.subarray(0, length))
      if (length === this.#unsent.length) this.#dropUnsent()
      else this.#unsent = this.#unsent.subarray(length)
    }
  }

  override _read(): void {
    this.#allowMore()
  }

  override _write(bytes: Buffer, _: BufferEncoding, sent: () => void): void {
    if (this.#saidEnd) {
      sent()
      return
    }
    this.#unsent = bytes
    this.#sent = sent
    this.onRoom()
  }

  override _final(done: () => void): void {
    if (!this.#saidEnd) this.#carrier.end(this.id)
    this.#saidEnd = true
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!(this.#saidEnd && this.#heardEnd)) this.#carrier.reset(this.id)
    this.#carrier.forget(this.id)
    this.#unsent = null
    done(error)
  }

  #dropUnsent(): void {
    const sent = this.#sent
    this.#unsent = null
    this.#sent = null
    sent?.()
  }

  #allowMore(): void {
    const used = LANE_WINDOW - this.#allowed
    if (used < LANE_WINDOW / 2 || this.#heardEnd) return
    this.#allowed = LANE_WINDOW
    this.#carrier.credit(this.id, used)
  }
}
