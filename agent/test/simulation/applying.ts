import { assert } from '../../src/lib/assert.ts'
import { type Configuration, decodeConfiguration } from '../../src/raft/configuration.ts'
import type { Effect } from '../../src/raft/effect.ts'
import type { Entry, LogIndex, LogPosition, RequestId, Term } from '../../src/raft/types.ts'
import { lastConfiguration } from '../raft/durable-image.ts'
import type { SimulatedMachine } from './machine.ts'

type Apply = Extract<Effect, { kind: 'apply' }>

/** Who waits for what the machine does. */
export interface ApplyWitness {
  applied(entry: Entry): void
  /** The entry at the position of a request was applied here. */
  settled(settled: Settled): void
  readable(readable: Readable): void
}

export interface Settled {
  readonly id: RequestId
  readonly entry: Entry
  /** it is that request's, and not another one at its position */
  readonly mine: boolean
  /** false: the request had taken effect before, through another proposal */
  readonly fresh: boolean
  readonly machine: SimulatedMachine
}

/** The machine has reached the index that these reads need. */
export interface Readable {
  readonly ids: readonly RequestId[]
  readonly index: LogIndex
  readonly machine: SimulatedMachine
}

interface Parts {
  readonly machine: SimulatedMachine
  readonly witness: ApplyWitness
  /** Null: the disk is damaged, and the node has stopped. */
  readonly read: (from: LogIndex, upTo: LogIndex) => readonly Entry[] | null
  /** Some ticks later, unless the node crashes meanwhile. */
  readonly later: (happen: () => void) => void
  /** Each configuration on the way, in order. */
  readonly configured: (configuration: Configuration) => void
  readonly applied: (position: LogPosition, configuration: Configuration | null) => void
  /** The machine is exactly at this check entry. */
  readonly checked: (entry: Entry) => void
}

/** One boot's way from the log into the machine, and to those who wait for it. */
export class SimulatedApplier {
  readonly #parts: Parts
  /** requests that wait for their fate, by index */
  readonly #pending = new Map<LogIndex, { id: RequestId; term: Term }>()
  readonly #applies: Apply[] = []
  /** reads whose index is known, and not applied yet */
  #readings: { readonly ids: readonly RequestId[]; readonly index: LogIndex }[] = []

  constructor(parts: Parts) {
    this.#parts = parts
  }

  accepted(first: LogPosition, ids: readonly RequestId[]): void {
    for (const [at, id] of ids.entries()) {
      this.#pending.set((first.index + at) as LogIndex, { id, term: first.term })
    }
  }

  readReady(ids: readonly RequestId[], index: LogIndex): void {
    this.#readings.push({ ids, index })
    this.#answerReads()
  }

  /** Nobody is answered who waits here. */
  abandon(): void {
    this.#pending.clear()
    this.#readings = []
  }

  /** The machine takes one `apply` at a time, in order. */
  apply(apply: Apply): void {
    this.#applies.push(apply)
    if (this.#applies.length === 1) this.#applyLater()
  }

  #applyLater(): void {
    const { later, read, applied } = this.#parts
    later(() => {
      const apply = this.#applies[0]
      if (apply === undefined) return
      const entries = apply.entries ?? read(apply.from, apply.upTo)
      if (entries === null) return
      for (const entry of entries) this.#applyOne(entry)
      this.#answerReads()
      const last = entries.at(-1)
      assert(last?.index === apply.upTo, 'all that was asked for is applied')
      this.#applies.shift()
      if (this.#applies.length > 0) this.#applyLater()
      applied({ index: last.index, term: last.term }, lastConfiguration(entries))
    })
  }

  #applyOne(entry: Entry): void {
    const { machine, witness, configured } = this.#parts
    const fresh = machine.apply(entry)
    if (entry.kind === 'configuration') configured(decodeConfiguration(entry.payload))
    witness.applied(entry)
    if (entry.kind === 'check') this.#parts.checked(entry)
    const pending = this.#pending.get(entry.index)
    if (pending === undefined) return
    this.#pending.delete(entry.index)
    const mine = pending.term === entry.term
    witness.settled({ id: pending.id, entry, mine, fresh, machine })
  }

  #answerReads(): void {
    const { machine, witness } = this.#parts
    const readable = this.#readings.filter(({ index }) => index <= machine.length)
    this.#readings = this.#readings.filter(({ index }) => index > machine.length)
    for (const { ids, index } of readable) witness.readable({ ids, index, machine })
  }
}
