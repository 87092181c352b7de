import type { Clock } from '../clock/clock.ts'
import type { SnapshotStore, StoredSnapshot } from '../log/snapshot-store.ts'
import type { NodeId } from '../raft/types.ts'
import { CHUNK_BYTES_MAX, type ChunkAnswer, type SnapshotChunk } from '../transport/transport.ts'
import type { Reach } from './fault-points.ts'
import type { SnapshotCounters } from './snapshot-counters.ts'
import type { Throttle } from './throttle.ts'

/** After a broken connection, ms, the peer is asked again what it holds. */
const RETRY_MS = 200
/** A peer that cannot be reached for so long, ms, is given up; a later transfer goes on where this one ended. */
const GIVE_UP_MS = 10_000
/** Within this, ms, a peer has inspected a file of many gigabytes. */
const ANSWER_MS = 600_000
/** How often a peer may hold less than before, since it has started again, and how often in a row no more than that. */
const SETBACKS_MAX = 8

/** Over a thin line pieces are smaller, bytes: a heartbeat has to wait behind one. */
const SIZE_MIN = 64 * 1024
/** A piece that takes longer than the first, ms, makes the next ones smaller; a faster one than the second larger. */
const [SLOW_MS, FAST_MS] = [250, 50]

const NOTHING = new Uint8Array(0)

export interface TransferOptions {
  readonly to: NodeId
  readonly snapshot: StoredSnapshot
  readonly store: SnapshotStore
  readonly transport: { sendChunk(to: NodeId, chunk: SnapshotChunk): Promise<ChunkAnswer> }
  readonly clock: Clock
  readonly throttle: Throttle
  readonly counters: SnapshotCounters
  readonly reach: Reach
  /** Whether the peer still needs it from this node. */
  readonly isWanted: () => boolean
  /** Ends it at once. */
  readonly signal: AbortSignal
}

/** Sends one snapshot to one peer, from where the peer says that it holds it. */
export class SnapshotTransfer {
  readonly #options: TransferOptions
  /** by the peer, when it was last heard of */
  #held = 0
  #setbacks = 0
  #standstills = 0
  #size = CHUNK_BYTES_MAX

  constructor(options: TransferOptions) {
    this.#options = options
  }

  /** Resolves when the peer has it whole and found it good; rejects in words. */
  async run(): Promise<void> {
    const { store, snapshot } = this.#options
    const file = await store.read(snapshot)
    try {
      let held = await this.#exchange(0, NOTHING)
      while (held !== null) {
        const bytes = (await file.read(held)).subarray(0, this.#size)
        if (bytes.length === 0) throw new Error('the peer holds all of it, and does not take it')
        held = await this.#exchange(held, bytes)
      }
    } finally {
      await file.close()
    }
  }

  /** @returns how much the peer holds; null: all, and it is content */
  async #exchange(offset: number, bytes: Uint8Array): Promise<number | null> {
    const { throttle, counters, snapshot, clock } = this.#options
    await this.#pause(throttle.take(bytes.length))
    counters.bytesSent += bytes.length
    const began = clock.now()
    const answer = await this.#ask({ header: snapshot.header, offset, bytes })
    this.#adapt(clock.now() - began)
    switch (answer.kind) {
      case 'complete':
        return null
      case 'refused':
        throw new Error(`refused by the peer: ${answer.why}`)
      default:
        this.#checkProgress(answer.bytes)
        return answer.bytes
    }
  }

  /** Tries until there is an answer. Who has been away is only asked what it holds. */
  async #ask(chunk: SnapshotChunk): Promise<ChunkAnswer> {
    const { clock, to, transport, reach } = this.#options
    let failingSince: number | null = null
    for (let next = chunk; ; next = { ...chunk, bytes: NOTHING }) {
      this.#checkWanted()
      const sent = transport.sendChunk(to, next)
      // Who listens there may throw.
      sent.catch(() => {})
      reach('chunk:sent')
      try {
        return await this.#within(ANSWER_MS, sent)
      } catch (error) {
        failingSince ??= clock.now()
        if (clock.now() - failingSince >= GIVE_UP_MS) throw error
      }
      await this.#pause(RETRY_MS)
    }
  }

  #adapt(tookMs: number): void {
    if (tookMs > SLOW_MS) this.#size = Math.max(SIZE_MIN, this.#size / 2)
    else if (tookMs < FAST_MS) this.#size = Math.min(CHUNK_BYTES_MAX, this.#size * 2)
  }

  #checkProgress(held: number): void {
    const { bytes } = this.#options.snapshot.header
    if (held > bytes) throw new Error('the peer claims to hold more than there is')
    if (held < this.#held) this.#setbacks++
    this.#standstills = held > this.#held ? 0 : this.#standstills + 1
    this.#held = held
    if (Math.max(this.#setbacks, this.#standstills) > SETBACKS_MAX) {
      throw new Error(`the peer comes no further than ${held} of ${bytes} bytes`)
    }
  }

  #checkWanted(): void {
    this.#options.signal.throwIfAborted()
    if (!this.#options.isWanted()) throw new Error('not needed from this node any more')
  }

  async #pause(ms: number): Promise<void> {
    this.#checkWanted()
    if (ms <= 0) return
    await new Promise<void>(resolve => {
      const { clock, signal } = this.#options
      const cancel = clock.after(ms, () => {
        signal.removeEventListener('abort', end)
        resolve()
      })
      const end = () => {
        cancel()
        resolve()
      }
      signal.addEventListener('abort', end, { once: true })
    })
    this.#checkWanted()
  }

  /** Rejects after `ms`, and at the signal. */
  #within<T>(ms: number, answer: Promise<T>): Promise<T> {
    const { clock, signal } = this.#options
    return new Promise((resolve, reject) => {
      const end = () => {
        cancel()
        signal.removeEventListener('abort', end)
        reject(signal.reason ?? new Error(`no answer within ${ms / 1000} s`))
      }
      const cancel = clock.after(ms, end)
      signal.addEventListener('abort', end)
      const settled = () => {
        cancel()
        signal.removeEventListener('abort', end)
      }
      answer.finally(settled).then(resolve, reject)
    })
  }
}
