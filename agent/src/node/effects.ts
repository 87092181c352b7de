import { unreachable } from '../lib/assert.ts'
import type { Histogram } from '../lib/histogram.ts'
import { LogCompacted } from '../log/log-store.ts'
import { type Configuration, decodeConfiguration } from '../raft/configuration.ts'
import type { Effect, Persist } from '../raft/effect.ts'
import type { Message } from '../raft/message.ts'
import { type AppliedBatch, Applier } from './applier.ts'
import type { ChainChecks } from './chain-checks.ts'
import type { Install } from './installer.ts'
import { LogWriter } from './log-writer.ts'
import type { Loop } from './loop.ts'
import { type Counters, Stopwatch } from './measures.ts'
import type { Membership } from './membership.ts'
import type { NodeOptions } from './node-options.ts'
import type { Requests } from './requests.ts'
import { Snapshots } from './snapshots.ts'

/** Parts of the node that hear of what was done. */
export interface Concerned {
  readonly requests: Requests
  readonly membership: Membership
  readonly counters: Counters
  readonly checks: ChainChecks
}

/**
 * Carries out what the core asks for, and posts what came of it. What a turn asks for is collected and
 * started at its end: one write to the log, one batch for the machine, one send.
 */
export class Effects {
  readonly #options: NodeOptions<never, unknown>
  readonly #concerned: Concerned
  readonly #loop: Loop
  readonly #writer: LogWriter
  readonly #applier: Applier
  readonly snapshots: Snapshots
  #outgoing: Message[] = []
  /** leave once this turn's answers have */
  #patient: Message[] = []

  constructor(options: NodeOptions<never, unknown>, concerned: Concerned, loop: Loop) {
    this.#options = options
    this.#concerned = concerned
    this.#loop = loop
    const { log, machine, clock, reach = () => {} } = options
    const stopwatch = (into: Histogram) => new Stopwatch(() => clock.now(), into)
    const { persistSeconds, applySeconds } = concerned.counters
    const events = {
      onError: loop.fail,
      onDurable: (persists: readonly Persist[]) => this.#onDurable(persists),
      onApplied: (batch: AppliedBatch) => this.#onApplied(batch),
      reach,
    }
    this.snapshots = new Snapshots(options, loop, install => this.#onInstalled(install))
    this.#writer = new LogWriter(log, events, stopwatch(persistSeconds))
    this.#applier = new Applier(log, machine, events, stopwatch(applySeconds))
  }

  /** Writes to the log that wait for the one under way. */
  get queuedPersists(): number {
    return this.#writer.queued
  }

  /** @param configuration in force before the first entry that will be applied */
  start(configuration: Configuration): void {
    this.#applier.start(configuration)
  }

  perform(effect: Effect): void {
    const { requests } = this.#concerned
    switch (effect.kind) {
      case 'send':
        if (effect.patient === true) this.#patient.push(effect.message)
        else this.#outgoing.push(effect.message)
        break
      case 'persist':
        this.#writer.submit(effect)
        break
      case 'apply':
        this.#applier.submit(effect)
        break
      case 'load':
        this.#load(effect)
        break
      case 'accepted':
        requests.accepted(effect, this.#options.clock.now())
        break
      case 'unchanged':
        requests.unchanged(effect.id)
        break
      case 'send-snapshot':
        this.snapshots.send(effect)
        break
      case 'install-snapshot':
        this.snapshots.install(effect)
        break
      case 'read-ready':
        requests.readReady(effect, this.#loop.state().applied)
        break
      case 'reject':
        requests.rejected(effect)
        break
      default:
        unreachable(effect)
    }
  }

  /** The turn is over. */
  flush(): void {
    if (this.#outgoing.length > 0) {
      const messages = this.#outgoing
      this.#outgoing = []
      this.#options.transport.send(messages)
    }
    this.#writer.kick(this.#loop.state().applied)
    // A machine that works on this thread is not to hold up what others wait for: the messages and the write leave first.
    if (this.#applier.waiting) queueMicrotask(() => this.#applier.kick())
    if (this.#patient.length > 0) {
      const messages = this.#patient
      this.#patient = []
      this.#options.clock.soon(() => this.#options.transport.send(messages))
    }
  }

  /** Resolves when nothing of it is under way; what is queued is not begun. */
  async drained(): Promise<void> {
    await this.#writer.drained()
    await this.#applier.drained()
    await this.snapshots.stop()
  }

  #load({ to, from, upTo, term, bytesMax }: Extract<Effect, { kind: 'load' }>): void {
    const { post, fail } = this.#loop
    this.#options.log.read(from, upTo, bytesMax).then(
      entries => post({ kind: 'loaded', to, term, entries }),
      error => {
        // Dropped since it was asked for: whoever lacks it gets a snapshot.
        if (error instanceof LogCompacted) post({ kind: 'loaded', to, term, entries: [] })
        else fail(error)
      },
    )
  }

  /** Who waits for it need not wait for a turn as well. */
  #onDurable(persists: readonly Persist[]): void {
    const messages = persists.flatMap(({ whenDurable }) => whenDurable)
    if (messages.length > 0) this.#options.transport.send(messages)
    // The last receipt speaks for all before it.
    const receipt = persists.at(-1)?.receipt
    if (receipt !== undefined) this.#loop.post({ kind: 'persisted', receipt })
  }

  #onApplied({ entries, results, configurations, check, bytes }: AppliedBatch): void {
    const last = entries.at(-1)
    if (last === undefined) return
    const configuration = configurations.at(-1) ?? null
    this.#concerned.membership.applied(configurations)
    // What a machine answers that is found to be wrong is nobody's answer.
    if (check !== null) this.#concerned.checks.passed(check)
    this.#concerned.requests.settle(entries, results)
    this.snapshots.applied(bytes)
    this.#loop.post({ kind: 'applied', position: last.position, configuration })
  }

  /** What it went past has no results here; all else is told as after an apply. */
  #onInstalled({ header, whenInstalled }: Install): void {
    const { position } = header
    const configuration = decodeConfiguration(header.configuration)
    this.#applier.jumped(header.configuration)
    this.#concerned.membership.applied([configuration])
    this.#concerned.requests.jumped(position.index)
    this.#outgoing.push(...whenInstalled)
    this.#loop.post({ kind: 'snapshot-installed', position, configuration })
  }
}
