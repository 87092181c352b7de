import type { LogStore } from '../log/log-store.ts'
import type { CommittedEntry, Result, StateMachine } from '../machine/state-machine.ts'
import {
  type Configuration,
  decodeConfiguration,
  encodeConfiguration,
} from '../raft/configuration.ts'
import type { Effect } from '../raft/effect.ts'
import { asLogIndex, type Entry, type LogPosition } from '../raft/types.ts'
import type { ChainReport } from './divergence.ts'
import { decodeEnvelope } from './envelope.ts'
import type { Reach } from './fault-points.ts'
import type { Stopwatch } from './measures.ts'

type Apply = Extract<Effect, { kind: 'apply' }>

/** Entries in one transaction: large enough to spread its cost, small enough not to hold up the loop. */
const BATCH_ENTRIES_MAX = 1024
const READ_BYTES_MAX = 1024 * 1024
/** Payload between two checkpoints of the machine. */
const CHECKPOINT_BYTES = 16 * 1024 * 1024

/** What the machine has taken at once. */
export interface AppliedBatch {
  readonly entries: readonly CommittedEntry[]
  readonly results: readonly (Result | null)[]
  /** that came into force with it, in order */
  readonly configurations: readonly Configuration[]
  /** what the machine had come to, where the last entry is a check; else null */
  readonly check: ChainReport | null
  /** of its commands */
  readonly bytes: number
}

export interface ApplierEvents {
  /** A batch is in the machine and visible. */
  onApplied(batch: AppliedBatch): void
  /** The surroundings failed, or the machine holds another history: the node stops. */
  onError(error: unknown): void
  readonly reach: Reach
}

/** Feeds committed entries to the machine, in order and one batch at a time. */
export class Applier {
  readonly #log: LogStore
  readonly #machine: StateMachine<never, unknown>
  readonly #events: ApplierEvents
  readonly #stopwatch: Stopwatch
  #queue: Apply[] = []
  #running: Promise<void> | null = null
  #checkpoint: Promise<void> | null = null
  #sinceCheckpoint = 0
  /** in force after the last entry */
  #configuration: Uint8Array = new Uint8Array(0)

  constructor(
    log: LogStore,
    machine: StateMachine<never, unknown>,
    events: ApplierEvents,
    stopwatch: Stopwatch,
  ) {
    this.#log = log
    this.#machine = machine
    this.#events = events
    this.#stopwatch = stopwatch
  }

  /** What is in force before the first entry. */
  start(configuration: Configuration): void {
    this.#configuration = encodeConfiguration(configuration)
  }

  /** The machine was replaced. */
  jumped(configuration: Uint8Array): void {
    this.#configuration = configuration
  }

  submit(apply: Apply): void {
    this.#queue.push(apply)
  }

  /** Something is submitted that is not begun. */
  get waiting(): boolean {
    return this.#running === null && this.#queue.length > 0
  }

  /** Applies what was submitted, unless that is under way; to be called once a turn. */
  kick(): void {
    if (this.#running !== null || this.#queue.length === 0) return
    this.#running = this.#run().then(
      () => {
        this.#running = null
        this.kick()
      },
      // `running` stays set: after an error nothing more is applied.
      error => this.#events.onError(error),
    )
  }

  /** Resolves when the batch and the checkpoint under way are done; what is queued is not applied. */
  async drained(): Promise<void> {
    this.#queue = []
    await this.#running
    await this.#checkpoint
  }

  async #run(): Promise<void> {
    while (true) {
      const apply = this.#queue.shift()
      if (apply === undefined) return
      if (apply.entries !== null) await this.#applyAll(this.#withFollowing(apply.entries))
      else await this.#readAndApply(apply)
    }
  }

  /** Joins what was submitted meanwhile: one transaction for all of it. */
  #withFollowing(entries: readonly Entry[]): readonly Entry[] {
    let joined = entries
    while (joined.length < BATCH_ENTRIES_MAX) {
      const next = this.#queue[0]?.entries
      if (next === undefined || next === null) break
      joined = [...joined, ...next]
      this.#queue.shift()
    }
    return joined
  }

  /** After a restart: the entries are on disk only. */
  async #readAndApply({ from, upTo }: Apply): Promise<void> {
    let next = from
    while (next <= upTo) {
      const entries = await this.#log.read(next, upTo, READ_BYTES_MAX)
      await this.#applyAll(entries)
      next = asLogIndex(next + entries.length)
    }
  }

  async #applyAll(entries: readonly Entry[]): Promise<void> {
    for (let at = 0; at < entries.length; ) {
      const end = batchEnd(entries, at)
      await this.#applyBatch(entries.slice(at, end))
      at = end
    }
  }

  async #applyBatch(taken: readonly Entry[]): Promise<void> {
    const changes = taken.filter(entry => entry.kind === 'configuration')
    this.#configuration = changes.at(-1)?.payload ?? this.#configuration
    const entries = taken.map(committed)
    const began = this.#stopwatch.start()
    this.#events.reach('apply:before')
    const applied = this.#machine.apply(entries, this.#configuration)
    // A machine that answers at once is not made to wait for the next microtask.
    const results = applied instanceof Promise ? await applied : applied
    this.#events.reach('apply:after')
    this.#stopwatch.stop(began)
    const configurations = changes.map(({ payload }) => decodeConfiguration(payload))
    const check = taken.at(-1)?.kind === 'check' ? chainOf(this.#machine) : null
    let bytes = 0
    for (const { command } of entries) bytes += command?.length ?? 0
    this.#events.onApplied({ entries, results, configurations, check, bytes })
    this.#checkpointWhenDue(bytes)
  }

  #checkpointWhenDue(bytes: number): void {
    this.#sinceCheckpoint += bytes
    if (this.#checkpoint !== null) return
    const due = this.#sinceCheckpoint >= CHECKPOINT_BYTES || this.#machine.checkpointDue?.()
    if (due !== true) return
    this.#sinceCheckpoint = 0
    this.#events.reach('checkpoint:before')
    this.#checkpoint = this.#machine.checkpoint().then(
      () => {
        this.#events.reach('checkpoint:after')
        this.#checkpoint = null
      },
      error => this.#events.onError(error),
    )
  }
}

/** Of a batch that begins at `at`: a check ends it, so that the machine can be asked what it has come to there. */
function batchEnd(entries: readonly Entry[], at: number): number {
  const most = Math.min(entries.length, at + BATCH_ENTRIES_MAX)
  for (let end = at; end < most; end++) if (entries[end]?.kind === 'check') return end + 1
  return most
}

function chainOf(machine: StateMachine<never, unknown>): ChainReport {
  const { index, term, chainHash } = machine.applied()
  return { index, term, chainHash }
}

/** As the machine sees it: the cluster's own entries only move its position. */
function committed(entry: Entry): CommittedEntry {
  const position: LogPosition = { index: entry.index, term: entry.term }
  if (entry.kind !== 'command') return { position, command: null, timeMs: 0, idempotency: null }
  // Field by field: spread out, it costs more than reading it.
  const { command, timeMs, idempotency } = decodeEnvelope(entry.payload)
  return { position, command, timeMs, idempotency }
}
