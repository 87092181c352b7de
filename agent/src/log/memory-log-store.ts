import { assert } from '../lib/assert.ts'
import type { Entry, Identity, LogIndex } from '../raft/types.ts'
import { LogOutline, summarize } from './log-outline.ts'
import { type LogBatch, LogRefusal, type LogState, type LogStore } from './log-store.ts'

/**
 * A log that lives as long as its object, for `-inmem` nodes and for tests: closing and opening it again
 * finds everything that was persisted. Same rules as on disk, no durability.
 */
export class MemoryLogStore implements LogStore {
  readonly #outline = new LogOutline()
  readonly #entries: Entry[] = []
  #identity: Identity | null = null
  #isOpen = false
  #failure: unknown = null

  async open(identity: Identity): Promise<LogState> {
    if (this.#isOpen) throw new LogRefusal('memory: in use')
    const own = this.#identity ?? identity
    const { clusterId, nodeId, incarnation } = own
    if (
      clusterId !== identity.clusterId ||
      nodeId !== identity.nodeId ||
      incarnation !== identity.incarnation
    ) {
      throw new LogRefusal(`memory: belongs to node ${nodeId} of cluster ${clusterId}`)
    }
    this.#identity = own
    this.#isOpen = true
    return this.#outline.state()
  }

  async persist(batch: LogBatch): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    try {
      assert(this.#isOpen, 'the log is open')
      const summary = summarize(batch)
      this.#outline.check(summary)
      this.#outline.add(summary, { segment: 0, at: 0, end: 0 })
    } catch (cause) {
      this.#failure = cause
      throw cause
    }
    if (batch.truncateFrom !== null) this.#entries.length = batch.truncateFrom - 1
    for (const entry of batch.entries) this.#entries.push(entry)
  }

  async read(from: LogIndex, upTo: LogIndex, bytesMax: number): Promise<readonly Entry[]> {
    assert(this.#isOpen, 'the log is open')
    const { last } = this.#outline
    assert(from >= 1 && from <= upTo && upTo <= last.index, 'only what the log holds is read')
    let end = from as number
    let bytes = this.#entries[from - 1]?.payload.length ?? 0
    while (end < upTo) {
      bytes += this.#entries[end]?.payload.length ?? 0
      if (bytes > bytesMax) break
      end++
    }
    return this.#entries.slice(from - 1, end)
  }

  async close(): Promise<void> {
    this.#isOpen = false
  }
}
