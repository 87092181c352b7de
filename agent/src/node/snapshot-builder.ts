import type { Clock } from '../clock/clock.ts'
import type { SnapshotStore, StoredSnapshot } from '../log/snapshot-store.ts'
import type { SnapshotView } from '../machine/state-machine.ts'
import type { LogIndex } from '../raft/types.ts'
import type { Reach } from './fault-points.ts'
import type { Logger } from './logger.ts'
import type { SnapshotCounters } from './snapshot-counters.ts'

/** How often the disk is looked at while a snapshot is written to it, ms. */
const LOOK_MS = 500

export interface BuilderOptions {
  readonly machine: { snapshot(): SnapshotView | Promise<SnapshotView> }
  readonly store: SnapshotStore
  readonly clock: Clock
  readonly logger: Logger
  readonly counters: SnapshotCounters
  readonly reach: Reach
}

/** Makes snapshots of the own machine, one at a time, while it goes on. */
export class SnapshotBuilder {
  readonly #options: BuilderOptions
  readonly #end = new AbortController()
  #current: Promise<StoredSnapshot> | null = null
  #position: LogIndex | null = null

  constructor(options: BuilderOptions) {
    this.#options = options
  }

  /** Position of the one being built: the log behind it is needed. */
  position(): LogIndex | null {
    return this.#position
  }

  /**
   * Of what is applied now; a call during a build joins it, and gets what was applied at its begin.
   * Rejects when there is no room, when the disk fails, and at `stop`.
   */
  build(): Promise<StoredSnapshot> {
    this.#current ??= this.#build().finally(() => {
      this.#current = null
      this.#position = null
    })
    return this.#current
  }

  /** Gives up the one being built. */
  async stop(): Promise<void> {
    this.#end.abort(new Error('the node stops'))
    await Promise.allSettled([this.#current])
  }

  async #build(): Promise<StoredSnapshot> {
    const { machine, counters, logger, clock, reach } = this.#options
    const began = clock.now()
    this.#end.signal.throwIfAborted()
    try {
      const view = await machine.snapshot()
      this.#position = view.applied.index
      reach('snapshot:begun')
      const stored = await this.#store(view)
      counters.built++
      reach('snapshot:stored')
      const { position, bytes } = stored.header
      logger.info({ position, bytes, ms: Math.round(clock.now() - began) }, 'snapshot built')
      return stored
    } catch (error) {
      counters.failed++
      throw error
    }
  }

  async #store(view: SnapshotView): Promise<StoredSnapshot> {
    const { store, reach } = this.#options
    const { signal } = this.#end
    const release = () => view.release()
    signal.addEventListener('abort', release)
    const watch = this.#watchRoom(release)
    try {
      const writeTo = async (file: string) => {
        await view.writeTo(file)
        signal.throwIfAborted()
        reach('snapshot:written')
      }
      return await store.build({ applied: view.applied, writeTo }, signal)
    } catch (cause) {
      throw watch.full ? new Error('no room for a snapshot on the disk', { cause }) : cause
    } finally {
      watch.cancel()
      signal.removeEventListener('abort', release)
      view.release()
    }
  }

  /** The last room on the disk is the log's: a copy that comes near it is given up. */
  #watchRoom(giveUp: () => void): { full: boolean; readonly cancel: () => void } {
    const { store, clock, logger } = this.#options
    const onFailure = (error: unknown) => logger.warn({ err: error }, 'the room on the disk')
    const look = async () => {
      if (await store.hasRoom()) return
      watch.full = true
      giveUp()
    }
    const watch = { full: false, cancel: clock.every(LOOK_MS, () => void look().catch(onFailure)) }
    return watch
  }
}
