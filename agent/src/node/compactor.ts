import { compactTo, type Follower } from '../log/compaction-policy.ts'
import type { LogStore } from '../log/log-store.ts'
import type { SnapshotStore } from '../log/snapshot-store.ts'
import type { StateMachine } from '../machine/state-machine.ts'
import type { State } from '../raft/state.ts'
import { asLogIndex, type LogIndex, type LogPosition, ORIGIN } from '../raft/types.ts'
import type { Transport } from '../transport/transport.ts'
import type { Reach } from './fault-points.ts'
import type { Logger } from './logger.ts'
import type { Loop } from './loop.ts'
import { termAt } from './recovery-table.ts'
import type { SnapshotBuilder } from './snapshot-builder.ts'

/** When the front of the log goes. */
export interface CompactionSettings {
  /** false: the log keeps everything */
  readonly enabled: boolean
  /** between two looks whether something can go */
  readonly intervalMs: number
  /** entries that at least go at once */
  readonly threshold: number
  /** entries that are kept although they could go */
  readonly trailing: number
}

export interface CompactorOptions {
  readonly log: LogStore
  readonly machine: StateMachine<never, unknown>
  readonly store: SnapshotStore
  readonly builder: SnapshotBuilder
  readonly transport: Pick<Transport, 'links'>
  readonly settings: CompactionSettings
  readonly logger: Logger
  readonly reach: Reach
  readonly loop: Loop
  /** lowest position of a snapshot that somebody is to go on from; null: nobody is */
  readonly sending: () => LogIndex | null
}

/** Commands that were applied since the last look and make the next one due, bytes: some segments of the log. */
const LOOK_BYTES = 64 * 1024 * 1024
/** So far behind, bytes, a follower gets a snapshot sooner than the rest of the log. */
const FOLLOWER_BYTES_MAX = 256 * 1024 * 1024

/** Drops the front of the log, once what it holds is safe in the machine (E5) and nobody needs it. */
export class Compactor {
  readonly #options: CompactorOptions
  /** monotonic ms; null before the first tick */
  #dueAt: number | null = null
  #bytes = 0
  #compactions = 0
  #running: Promise<void> | null = null

  constructor(options: CompactorOptions) {
    this.#options = options
  }

  /** How often something was dropped. */
  get compactions(): number {
    return this.#compactions
  }

  /** @param bytes of commands that the machine has taken */
  applied(bytes: number): void {
    this.#bytes += bytes
  }

  /** To be called often. @param now monotonic ms */
  tick(now: number): void {
    const { settings, loop } = this.#options
    this.#dueAt ??= now + settings.intervalMs
    if (now < this.#dueAt && this.#bytes < LOOK_BYTES) return
    if (!settings.enabled || this.#running !== null || mustStay(loop.state())) return
    this.#dueAt = now + settings.intervalMs
    this.#bytes = 0
    this.#running = this.#look().then(
      () => {
        this.#running = null
      },
      // `running` stays set: a log or a machine that failed is not touched again.
      error => loop.fail(error),
    )
  }

  /** Resolves when no look is under way. */
  async idle(): Promise<void> {
    await this.#running
  }

  async #look(): Promise<void> {
    const { log, reach, loop } = this.#options
    const base = this.#baseFor(await this.#secure())
    if (base === null) return
    reach('compact:before')
    // In this order: what the core asks for from now on is still there, or was never promised.
    loop.post({ kind: 'compacted', base })
    reach('compact:posted')
    await log.compact(base)
    reach('compact:after')
    this.#compactions++
  }

  /** @returns what a crash cannot take back */
  async #secure(): Promise<LogPosition> {
    const { machine, reach } = this.#options
    if (machine.storage === 'memory') return this.#store()
    reach('checkpoint:before')
    const durable = await machine.checkpoint()
    reach('checkpoint:after')
    return durable
  }

  /** A machine in memory is rebuilt from a snapshot and the log behind it: without room for one the log stays. */
  async #store(): Promise<LogPosition> {
    const { machine, store, builder, settings, logger } = this.#options
    const stored = store.newest()?.header.position ?? ORIGIN
    if (machine.applied().index - stored.index < settings.threshold) return stored
    try {
      return (await builder.build()).header.position
    } catch (error) {
      logger.warn({ err: error }, 'no snapshot was stored')
      return stored
    }
  }

  #baseFor(durable: LogPosition): LogPosition | null {
    const { log, settings, loop, sending } = this.#options
    const state = loop.state()
    if (mustStay(state)) return null
    const found = log.state()
    const { index: base } = found.base
    const index = compactTo(
      {
        base,
        // What the machine has just told may be news to the core.
        durable: asLogIndex(Math.min(durable.index, state.applied)),
        followers: this.#followers(state, base),
        sending: sending(),
      },
      { ...settings, followerBytesMax: FOLLOWER_BYTES_MAX },
    )
    const term = index === null ? null : termAt(found, index)
    return index === null || term === null ? null : { index, term }
  }

  #followers({ role }: Readonly<State>, base: LogIndex): readonly Follower[] {
    if (role.kind !== 'leader') return []
    const { log, transport } = this.#options
    const links = transport.links().filter(({ connected }) => connected)
    const connected = new Set(links.map(({ peer }) => peer))
    return [...role.progress].map(([id, { match, state }]) => {
      const isLive = connected.has(id)
      if (match >= base) return { match, isLive, behindBytes: log.bytesAfter(match) }
      // Where it stands will be known soon, or a snapshot is on its way: what it needs then is that one's to keep.
      const behindBytes = log.bytesAfter(base)
      return { match: base, isLive: isLive && state !== 'snapshot', behindBytes }
    })
  }
}

/** A snapshot is to replace it; or the machine is not to be trusted, and its files are evidence. */
function mustStay({ install, needsSnapshot, standsAside }: Readonly<State>): boolean {
  return install !== null || needsSnapshot || standsAside
}
