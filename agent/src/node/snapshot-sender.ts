import type { Clock } from '../clock/clock.ts'
import type { SnapshotStore, StoredSnapshot } from '../log/snapshot-store.ts'
import type { Input } from '../raft/input.ts'
import type { State } from '../raft/state.ts'
import type { LogIndex, NodeId, Term } from '../raft/types.ts'
import type { Transport } from '../transport/transport.ts'
import type { Reach } from './fault-points.ts'
import type { Logger } from './logger.ts'
import type { SnapshotBuilder } from './snapshot-builder.ts'
import type { SnapshotCounters } from './snapshot-counters.ts'
import { SnapshotTransfer } from './snapshot-transfer.ts'
import { Throttle } from './throttle.ts'

/** To all peers together, bytes a second: reading, checking and sending them takes a fifth of one core at most. */
const BYTES_PER_SECOND = 32 * 1024 * 1024
/** After a failure, ms: the core asks again at once. */
const FAILURE_PAUSE_MS = 1_000
/** The log behind a snapshot that was sent is kept for so long, ms, until its peer shows that it goes on there. */
const ARRIVAL_MS = 60_000

export interface SenderOptions {
  readonly self: NodeId
  readonly builder: SnapshotBuilder
  readonly store: SnapshotStore
  readonly transport: Pick<Transport, 'send' | 'sendChunk'>
  readonly clock: Clock
  readonly logger: Logger
  readonly counters: SnapshotCounters
  readonly reach: Reach
  /** Of the core. */
  readonly state: () => Readonly<State>
  readonly post: (input: Input) => void
  readonly bytesPerSecond?: number
}

/** A snapshot on its way to one peer. */
interface Sending {
  readonly to: NodeId
  readonly term: Term
  readonly end: AbortController
  position: LogIndex | null
  over: Promise<void>
}

/** A snapshot that has arrived, and is being installed. */
interface Arrived {
  readonly to: NodeId
  readonly position: LogIndex
  readonly until: number
}

/** Brings followers level that are behind the log's begin: one transfer to each at a time. */
export class SnapshotSender {
  readonly #options: SenderOptions
  readonly #throttle: Throttle
  readonly #sending = new Map<NodeId, Sending>()
  #arrived: readonly Arrived[] = []
  #stopped = false

  constructor(options: SenderOptions) {
    this.#options = options
    this.#throttle = new Throttle(options.clock, options.bytesPerSecond ?? BYTES_PER_SECOND)
  }

  /**
   * Sends a snapshot of `atLeast` or later and, behind it, the core's message; the core hears of the end.
   * One that is under way to the same peer is given up, and nothing more is heard of it.
   */
  send(to: NodeId, atLeast: LogIndex): void {
    if (this.#stopped) return
    const before = this.#sending.get(to)
    before?.end.abort(new Error('asked for anew'))
    const { term } = this.#options.state()
    const end = new AbortController()
    const sending: Sending = { to, term, end, position: null, over: Promise.resolve() }
    this.#sending.set(to, sending)
    sending.over = (before?.over ?? Promise.resolve())
      .then(() => this.#run(sending, atLeast))
      .finally(() => {
        if (this.#sending.get(to) === sending) this.#sending.delete(to)
      })
  }

  /** The lowest position that a peer will go on from: the log behind it is needed. Null: none. */
  sending(): LogIndex | null {
    const { clock, builder, state } = this.#options
    const { role } = state()
    const progress = role.kind === 'leader' ? role.progress : null
    this.#arrived = this.#arrived.filter(({ to, position, until }) => {
      const peer = progress?.get(to)
      return peer !== undefined && peer.match < position && clock.now() < until
    })
    const positions = [builder.position()]
    for (const { position } of [...this.#sending.values(), ...this.#arrived]) {
      positions.push(position)
    }
    const known = positions.filter(position => position !== null)
    return known.sort((a, b) => a - b)[0] ?? null
  }

  /** Gives up everything at once; the peers go on from what they hold another time. */
  async stop(): Promise<void> {
    this.#stopped = true
    const sending = [...this.#sending.values()]
    for (const { end } of sending) end.abort(new Error('the node stops'))
    await Promise.all([this.#options.builder.stop(), ...sending.map(({ over }) => over)])
  }

  async #run(sending: Sending, atLeast: LogIndex): Promise<void> {
    const { to, end } = sending
    const { counters, logger, post } = this.#options
    let ok = true
    try {
      end.signal.throwIfAborted()
      await this.#transfer(sending, atLeast)
    } catch (error) {
      if (end.signal.aborted) return
      ok = false
      counters.failed++
      logger.warn({ err: error, peer: to }, 'snapshot not sent')
      await this.#pause(end.signal)
    }
    if (!end.signal.aborted) post({ kind: 'snapshot-sent', to, ok })
  }

  async #transfer(sending: Sending, atLeast: LogIndex): Promise<void> {
    const { self, store, transport, clock, counters, logger } = this.#options
    const { to, term, end } = sending
    const began = clock.now()
    const snapshot = await this.#choose(atLeast, end.signal)
    const { position, bytes } = snapshot.header
    sending.position = position.index
    const release = store.pin(snapshot.header.id)
    try {
      const isWanted = () => this.#isWanted(sending, position.index)
      const { signal } = end
      const parts = { to, snapshot, isWanted, signal, throttle: this.#throttle }
      await new SnapshotTransfer({ ...this.#options, ...parts }).run()
      if (!isWanted()) throw new Error('not needed from this node any more')
    } catch (error) {
      if (isDamage(error)) await store.drop(snapshot)
      throw error
    } finally {
      release()
    }
    counters.sent++
    const until = clock.now() + ARRIVAL_MS
    this.#arrived = [...this.#arrived, { to, position: position.index, until }]
    transport.send([{ kind: 'install-snapshot', from: self, to, term, header: snapshot.header }])
    const ms = Math.round(clock.now() - began)
    logger.info({ peer: to, position, bytes, ms }, 'snapshot sent')
  }

  async #choose(atLeast: LogIndex, signal: AbortSignal): Promise<StoredSnapshot> {
    const { store, builder } = this.#options
    const isEnough = (stored: StoredSnapshot | null): stored is StoredSnapshot =>
      stored !== null && stored.header.position.index >= atLeast
    // The second build is for who joined one that had begun too early.
    for (let builds = 0; ; builds++) {
      signal.throwIfAborted()
      const newest = store.newest()
      if (isEnough(newest)) return newest
      if (builds === 2) throw new Error(`the machine has not come to ${atLeast} yet`)
      await builder.build()
    }
  }

  /** Not by who has come so far by the log meanwhile. */
  #isWanted({ to, term }: Sending, position: LogIndex): boolean {
    const state = this.#options.state()
    if (state.role.kind !== 'leader' || state.term !== term) return false
    const peer = state.role.progress.get(to)
    if (peer === undefined) return false
    return peer.match < position || peer.lacking > 0 || peer.state === 'snapshot'
  }

  #pause(signal: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      const end = () => {
        cancel()
        resolve()
      }
      const cancel = this.#options.clock.after(FAILURE_PAUSE_MS, end)
      signal.addEventListener('abort', end, { once: true })
    })
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof Error && error.name === 'SnapshotDamage'
}
