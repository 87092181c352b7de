import { type SnapshotStore, sameSnapshot } from '../log/snapshot-store.ts'
import type { Applied } from '../machine/state-machine.ts'
import type { State } from '../raft/state.ts'
import type { NodeId, SnapshotHeader } from '../raft/types.ts'
import type { ChunkAnswer, SnapshotChunk } from '../transport/transport.ts'
import type { Reach } from './fault-points.ts'
import type { Logger } from './logger.ts'
import type { SnapshotCounters } from './snapshot-counters.ts'

export interface ReceiverOptions {
  readonly store: SnapshotStore
  readonly machine: { inspect(file: string): Applied | Promise<Applied> }
  /** Of the core. */
  readonly state: () => Readonly<State>
  readonly logger: Logger
  readonly counters: SnapshotCounters
  readonly reach: Reach
}

/** One that is being inspected. */
interface Judged {
  readonly header: SnapshotHeader
  readonly answer: Promise<ChunkAnswer>
}

/** Takes a snapshot from the leader, and makes sure that it is what its header says, before the core hears of it. */
export class SnapshotReceiver {
  readonly #options: ReceiverOptions
  readonly #end = new AbortController()
  #judged: Judged | null = null
  #ready: SnapshotHeader | null = null

  constructor(options: ReceiverOptions) {
    this.#options = options
  }

  /** Never rejects. */
  async onChunk(from: NodeId, chunk: SnapshotChunk): Promise<ChunkAnswer> {
    const { header } = chunk
    const why = this.#objection(from, header)
    if (why !== null) return { kind: 'refused', why }
    try {
      return await this.#take(chunk)
    } catch (error) {
      if (this.#end.signal.aborted) return { kind: 'refused', why: 'the node stops' }
      const { counters, logger } = this.#options
      counters.failed++
      logger.warn({ err: error, peer: from, snapshot: header.id }, 'snapshot not taken')
      return { kind: 'refused', why: error instanceof Error ? error.message : String(error) }
    }
  }

  /** The file of this snapshot, received, verified and durable; null: it is not here. */
  ready(header: SnapshotHeader): string | null {
    const isIt = this.#ready !== null && sameSnapshot(this.#ready, header)
    return isIt ? this.#options.store.staged(header.id) : null
  }

  /** What was ready is in the machine. */
  async installed(): Promise<void> {
    this.#ready = null
    await this.#options.store.dropStaged()
  }

  /** What is being inspected is not waited for. */
  stop(): void {
    this.#end.abort(new Error('the node stops'))
  }

  #objection(from: NodeId, header: SnapshotHeader): string | null {
    const { leader, install } = this.#options.state()
    if (this.#end.signal.aborted) return 'the node stops'
    if (from !== leader) return `${from} does not lead, as far as this node knows`
    const busy = install?.header ?? this.#judged?.header ?? null
    if (busy !== null && !sameSnapshot(busy, header)) return 'another snapshot is being installed'
    return null
  }

  async #take(chunk: SnapshotChunk): Promise<ChunkAnswer> {
    const { store, counters, reach } = this.#options
    const { header, offset, bytes } = chunk
    if (this.ready(header) !== null) return { kind: 'complete' }
    if (this.#judged !== null) return this.#judged.answer
    this.#ready = null
    const received = await store.receive(chunk)
    if (received.kind === 'held') {
      if (bytes.length > 0 && received.bytes === offset + bytes.length) {
        counters.bytesReceived += bytes.length
        reach('chunk:received')
      }
      return received
    }
    if (this.#judged === null) {
      counters.bytesReceived += bytes.length
      reach('chunk:received')
      const answer = this.#judge(header, received.file).finally(() => {
        this.#judged = null
      })
      this.#judged = { header, answer }
    }
    return this.#judged.answer
  }

  async #judge(header: SnapshotHeader, file: string): Promise<ChunkAnswer> {
    const { store, machine, counters, reach, logger } = this.#options
    try {
      checkContent(await machine.inspect(file), header)
      await store.accept(header, this.#end.signal)
    } catch (error) {
      await store.dropStaged()
      throw error
    }
    this.#ready = header
    reach('transfer:whole')
    counters.received++
    const { position, bytes } = header
    logger.info({ position, bytes }, 'snapshot received')
    return { kind: 'complete' }
  }
}

function checkContent({ index, term, configuration }: Applied, header: SnapshotHeader): void {
  const { position } = header
  if (index !== position.index || term !== position.term) {
    throw new Error(
      `the file is of ${index} in term ${term}, its header of ${position.index} in term ${position.term}`,
    )
  }
  if (Buffer.compare(configuration, header.configuration) !== 0) {
    throw new Error('the file tells of other members than its header')
  }
}
