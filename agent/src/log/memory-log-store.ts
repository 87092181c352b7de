import { assert } from '../lib/assert.ts'
import { ENTRY_OVERHEAD_BYTES } from '../raft/entry-codec.ts'
import type { Entry, Identity, LogIndex, LogPosition, SnapshotHeader } from '../raft/types.ts'
import {
  compaction,
  LogOutline,
  marking,
  requireHeld,
  resetting,
  summarize,
} from './log-outline.ts'
import { type LogBatch, LogRefusal, type LogState, type LogStore } from './log-store.ts'
import type { FrameSummary } from './record.ts'

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
    if (this.#isOpen) throw new LogRefusal('owner', 'memory: in use')
    const own = this.#identity ?? identity
    const { clusterId, nodeId, incarnation } = own
    if (
      clusterId !== identity.clusterId ||
      nodeId !== identity.nodeId ||
      incarnation !== identity.incarnation
    ) {
      throw new LogRefusal('identity', `memory: belongs to node ${nodeId} of cluster ${clusterId}`)
    }
    this.#identity = own
    this.#isOpen = true
    return this.#outline.state()
  }

  state(): LogState {
    return this.#outline.state()
  }

  bytesAfter(index: LogIndex): number {
    const held = this.#entries.slice(Math.max(0, index - this.#outline.base.index))
    return held.reduce((sum, { payload }) => sum + payload.length + ENTRY_OVERHEAD_BYTES, 0)
  }

  async persist(batch: LogBatch): Promise<void> {
    this.#record(() => summarize(batch))
    const base = this.#outline.base.index
    if (batch.truncateFrom !== null) this.#entries.length = batch.truncateFrom - 1 - base
    for (const entry of batch.entries) this.#entries.push(entry)
  }

  async read(from: LogIndex, upTo: LogIndex, bytesMax: number): Promise<readonly Entry[]> {
    assert(this.#isOpen, 'the log is open')
    requireHeld(this.#outline, from, upTo)
    const behind = this.#outline.base.index + 1 // index of the first in the array
    let end = from - behind
    let bytes = this.#entries[end]?.payload.length ?? 0
    while (end < upTo - behind) {
      bytes += this.#entries[end + 1]?.payload.length ?? 0
      if (bytes > bytesMax) break
      end++
    }
    return this.#entries.slice(from - behind, end + 1)
  }

  async compact(base: LogPosition): Promise<void> {
    const before = this.#outline.base.index
    this.#record(() => compaction(this.#outline, base))
    this.#entries.splice(0, this.#outline.base.index - before)
  }

  async mark(header: SnapshotHeader): Promise<void> {
    this.#record(() => marking(this.#outline, header))
  }

  async reset(header: SnapshotHeader): Promise<void> {
    const before = this.#outline.base.index
    const summary = this.#record(() => resetting(this.#outline, header))
    const gone = summary?.kept ? this.#outline.base.index - before : this.#entries.length
    this.#entries.splice(0, gone)
  }

  async close(): Promise<void> {
    this.#isOpen = false
  }

  #record(plan: () => FrameSummary | null): FrameSummary | null {
    if (this.#failure !== null) throw this.#failure
    try {
      assert(this.#isOpen, 'the log is open')
      const summary = plan()
      if (summary === null) return null
      this.#outline.check(summary)
      this.#outline.add(summary, { segment: 0, at: 0, end: 0 })
      return summary
    } catch (cause) {
      this.#failure = cause
      throw cause
    }
  }
}
