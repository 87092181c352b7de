import type { LogBatch, LogStore } from '../log/log-store.ts'
import type { Persist } from '../raft/effect.ts'
import { asLogIndex, type Entry, type LogIndex } from '../raft/types.ts'
import type { Reach } from './fault-points.ts'
import type { Stopwatch } from './measures.ts'

export interface WriterEvents {
  /** In the order in which they were submitted; those of one write at once. */
  onDurable(persists: readonly Persist[]): void
  /** A write failed: the node stops. */
  onError(error: unknown): void
  readonly reach: Reach
}

/**
 * Writes what the core wants persisted: in order, one write outstanding, and everything that came
 * meanwhile joins the next one (group commit). The disk is a latency, not a limit.
 */
export class LogWriter {
  readonly #log: LogStore
  readonly #events: WriterEvents
  readonly #stopwatch: Stopwatch
  #queue: Persist[] = []
  /** commit index of the newest batch that was written */
  #committed = asLogIndex(0)
  #writing: Promise<void> | null = null

  constructor(log: LogStore, events: WriterEvents, stopwatch: Stopwatch) {
    this.#log = log
    this.#events = events
    this.#stopwatch = stopwatch
  }

  /** What waits for the write under way. */
  get queued(): number {
    return this.#queue.length
  }

  submit(persist: Persist): void {
    this.#queue.push(persist)
  }

  /** Starts a write unless one is under way; to be called once a turn, so that a turn is one write. */
  kick(applied: LogIndex): void {
    if (this.#writing !== null || this.#queue.length === 0) return
    const persists = this.#queue
    this.#queue = []
    this.#writing = this.#write(persists, applied).then(
      () => {
        this.#writing = null
        this.#events.onDurable(persists)
      },
      // A failed write is final: `writing` stays set, and nothing is ever acknowledged again.
      error => this.#events.onError(error),
    )
  }

  /** Resolves when no write is under way; what is still queued is not written. */
  async drained(): Promise<void> {
    this.#queue = []
    await this.#writing
  }

  async #write(persists: readonly Persist[], applied: LogIndex): Promise<void> {
    if (!persists.some(persist => persist.sync)) return
    // What was committed before this batch: its own commit index may already speak of its own entries.
    const floor = asLogIndex(Math.max(this.#committed, applied))
    const batch = mergePersists(persists, floor)
    this.#committed = batch.hardState.commit
    const began = this.#stopwatch.start()
    this.#events.reach('persist:before')
    await this.#log.persist(batch)
    this.#events.reach('persist:after')
    this.#stopwatch.stop(began)
  }
}

/** Several writes as one: what a later one truncates of an earlier one is never written at all. */
export function mergePersists(persists: readonly Persist[], floor: LogIndex): LogBatch {
  let truncateFrom: LogIndex | null = null
  let entries: readonly Entry[] = []
  for (const persist of persists) {
    const from = persist.truncateFrom
    if (from !== null) {
      const first = entries[0]?.index
      if (first === undefined || from < first) {
        truncateFrom = truncateFrom === null || from < truncateFrom ? from : truncateFrom
      }
      entries = entries.filter(entry => entry.index < from)
    }
    entries = entries.length === 0 ? persist.entries : [...entries, ...persist.entries]
  }
  const { hardState } = persists.at(-1) as Persist
  return { hardState, truncateFrom, entries, floor }
}
