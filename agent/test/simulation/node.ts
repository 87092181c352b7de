import { assert } from '../../src/lib/assert.ts'
import type { Configuration } from '../../src/raft/configuration.ts'
import type { Effect, Persist } from '../../src/raft/effect.ts'
import type { Input } from '../../src/raft/input.ts'
import type { Message } from '../../src/raft/message.ts'
import { Raft } from '../../src/raft/raft.ts'
import type { RaftOptions } from '../../src/raft/state.ts'
import type { Entry, LogIndex, LogPosition, NodeId, Term } from '../../src/raft/types.ts'
import { lastConfiguration } from '../raft/durable-image.ts'
import type { Chance } from './chance.ts'
import { Damage, SimulatedDisk } from './disk.ts'
import { type Histories, LogMirror } from './history.ts'
import { SimulatedMachine } from './machine.ts'
import type { Letter } from './network.ts'
import type { Scheduler } from './scheduler.ts'
import type { Tally } from './tally.ts'
import type { Weather } from './weather.ts'

type Apply = Extract<Effect, { kind: 'apply' }>
type Load = Extract<Effect, { kind: 'load' }>
type Reject = Extract<Effect, { kind: 'reject' }>

/** Who looks on: the invariants, the clients, the nemesis. */
export interface Witness {
  /** Right after a step, before any of its effects is carried out. */
  stepped(node: SimulatedNode, input: Input, effects: readonly Effect[]): void
  /** After the effects of a step were started. */
  started(node: SimulatedNode, effects: readonly Effect[]): void
  leaves(node: SimulatedNode, message: Message): void
  applied(node: SimulatedNode, entry: Entry): void
  accepted(ids: readonly number[]): void
  rejected(reject: Reject): void
  /** The entry at the position of proposal `id` was applied here; `mine` if it is that proposal. */
  settled(settled: Settled): void
  readable(readable: Readable): void
  /** A write is durable, and nobody was told yet; true: the node crashes now. */
  crashesAt(node: SimulatedNode): boolean
  /** Its disk failed, or gave it what it may not use. */
  stopped(node: SimulatedNode): void
}

export interface Settled {
  readonly id: number
  readonly entry: Entry
  readonly mine: boolean
  /** false: the request had taken effect before, through another proposal */
  readonly fresh: boolean
  readonly machine: SimulatedMachine
}

/** The machine has reached the index that these reads need. */
export interface Readable {
  readonly ids: readonly number[]
  readonly index: LogIndex
  readonly machine: SimulatedMachine
}

interface Parts {
  readonly options: RaftOptions
  /** what the cluster starts with */
  readonly configuration: Configuration
  readonly weather: Weather
  readonly chance: Chance
  readonly clock: Chance
  readonly damage: Chance
  readonly scheduler: Scheduler
  readonly faults: Tally
  readonly reached: Tally
  readonly histories: Histories
  readonly witness: Witness
  readonly send: (letter: Letter) => void
  /** whom it has met, by name: their incarnations */
  readonly known: ReadonlyMap<NodeId, string>
}

/** The real core on a simulated disk and machine; carries out every effect as a node would. */
export class SimulatedNode {
  readonly id: NodeId
  disk: SimulatedDisk
  /** what the machine holds; behind the log after some crashes, never ahead of it */
  machine = new SimulatedMachine()
  raft: Raft
  log: LogMirror
  /** counts the starts: a leader that crashed is not the leader that comes back */
  boot = 0
  up = true
  /** stands still, as a process that is stopped or a machine that is moved */
  paused = false
  /** found its disk damaged, and does not start (C5) */
  refuses = false
  readonly #parts: Parts
  /** counts the disks that this node has had */
  #disks = 0
  /** of the disk before this one; it counts as a copy, since a minority may be lost */
  #lostDisk: SimulatedDisk | null = null
  /** survives crashes, and not the loss of the disk */
  #known: Map<NodeId, string>
  /** proposals that wait for their fate, by index */
  #pending = new Map<LogIndex, { id: number; term: Term }>()
  #backlog: (() => void)[] = []
  #time = 0
  #rate: number
  #applies: Apply[] = []
  /** reads whose index is known, and not applied yet */
  #readings: { readonly ids: readonly number[]; readonly index: LogIndex }[] = []

  constructor(parts: Parts) {
    this.#parts = parts
    this.id = parts.options.id
    const { slowest, fastest } = parts.weather.clocks
    this.#rate = slowest + (fastest - slowest) * parts.clock.share()
    this.#known = new Map(parts.known)
    this.disk = this.#createDisk()
    this.raft = this.#createRaft()
    this.log = new LogMirror(parts.histories, [])
  }

  /** A wiped disk comes back as somebody else (B17). */
  get incarnation(): string {
    return `${this.id}${this.#disks}`
  }

  /** No member any more for the others, or for itself. */
  get lost(): boolean {
    return this.refuses || this.#lostDisk !== null
  }

  /** On its disk, or on the one that it lost. */
  holds(position: LogPosition): boolean {
    const lost = this.#lostDisk?.image.holds(position) ?? false
    return lost || this.disk.image.holds(position)
  }

  /** Time passes here as fast as the node's own clock runs; a node that stands still takes one tick for all. */
  tick(): void {
    if (this.paused) return
    for (this.#time += this.#rate; this.#time >= 1; this.#time--) this.step({ kind: 'tick' })
  }

  /** What happens meanwhile waits. */
  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    const backlog = this.#backlog
    this.#backlog = []
    const { boot } = this
    for (const happen of backlog) if (boot === this.boot) happen()
  }

  /** No more faults of its disk and clock. */
  calm(): void {
    this.#rate = 1
    this.disk.calm()
  }

  /** Nothing is taken from, and nothing meant for, another incarnation of the same name (B17). */
  receive({ message, fromIncarnation, toIncarnation }: Letter): void {
    if (!this.up) return
    const known = this.#known.get(message.from) ?? fromIncarnation
    const meant = toIncarnation ?? this.incarnation
    if (known !== fromIncarnation || meant !== this.incarnation) {
      this.#parts.reached.add('wiped node refused')
      return
    }
    this.#known.set(message.from, fromIncarnation)
    this.step({ kind: 'receive', message })
  }

  step(input: Input): void {
    if (!this.up) return
    if (this.paused) {
      this.#backlog.push(() => this.step(input))
      return
    }
    const effects = this.raft.step(input)
    for (const effect of effects) if (effect.kind === 'persist') this.log.follow(effect)
    this.#parts.witness.stepped(this, input, effects)
    for (const effect of effects) this.#carryOut(effect)
    this.#parts.witness.started(this, effects)
  }

  crash(): void {
    this.up = false
    this.boot++
    this.paused = false
    this.#backlog = []
    this.disk.crash()
    this.#pending = new Map()
    this.#applies = []
    this.#readings = []
    this.#loseSomeOfTheMachine()
  }

  /** Unless its disk is damaged. */
  restart(): void {
    try {
      this.disk.open()
    } catch (error) {
      this.#refuse(error)
      return
    }
    this.up = true
    this.raft = this.#createRaft()
    this.log = new LogMirror(this.#parts.histories, this.disk.image.entries)
  }

  /** While it is down: an empty disk takes the place of its own. */
  wipe(): void {
    assert(!this.up, 'only a disk that is not in use is replaced')
    this.#lostDisk = this.disk
    this.#disks++
    this.#known = new Map()
    this.disk = this.#createDisk()
    this.machine = new SimulatedMachine()
  }

  #createDisk(): SimulatedDisk {
    const { weather, chance, damage, scheduler, faults, reached } = this.#parts
    return new SimulatedDisk({
      ...{ weather: weather.disk, chance, damage, scheduler, faults, reached },
      completed: writes => this.#completed(writes),
      failed: () => this.#stop(damage.happens(0.5) ? 'EIO' : 'ENOSPC'),
    })
  }

  #createRaft(): Raft {
    const { options, configuration, chance } = this.#parts
    const seed = chance.within(0, 0xffff_fffe)
    const { position, entries } = this.machine
    const current = lastConfiguration(entries) ?? configuration
    return new Raft({ ...options, seed }, this.disk.image.recovered(position, current))
  }

  /** It must not go on: what it holds is not what it believes to hold (C6). */
  #stop(why: string): void {
    const { reached, witness } = this.#parts
    reached.add(`${why} stop`)
    this.crash()
    witness.stopped(this)
  }

  #refuse(error: unknown): void {
    if (!(error instanceof Damage)) throw error
    if (!this.refuses) this.#parts.reached.add('damage found at start')
    this.refuses = true
  }

  #carryOut(effect: Effect): void {
    const { witness } = this.#parts
    switch (effect.kind) {
      case 'send':
        this.#send(effect.message)
        break
      case 'persist':
        this.disk.persist(effect)
        break
      case 'load':
        this.#load(effect)
        break
      case 'apply':
        this.#applies.push(effect)
        if (this.#applies.length === 1) this.#applyLater()
        break
      case 'accepted':
        for (const [at, id] of effect.ids.entries()) {
          const index = (effect.first.index + at) as LogIndex
          this.#pending.set(index, { id, term: effect.first.term })
        }
        witness.accepted(effect.ids)
        break
      case 'unchanged':
        break
      case 'send-snapshot':
      case 'install-snapshot':
        throw new Error('nothing is compacted here')
      case 'reject':
        witness.rejected(effect)
        break
      case 'read-ready':
        this.#readings.push(effect)
        this.#answerReads()
        break
    }
  }

  #send(message: Message): void {
    this.#parts.witness.leaves(this, message)
    const toIncarnation = this.#known.get(message.to) ?? null
    this.#parts.send({ message, fromIncarnation: this.incarnation, toIncarnation })
  }

  #completed(writes: readonly Persist[]): void {
    if (this.paused) {
      this.#backlog.push(() => this.#completed(writes))
      return
    }
    if (this.#parts.witness.crashesAt(this)) return
    const { boot } = this
    for (const { receipt, whenDurable } of writes) {
      for (const message of whenDurable) this.#send(message)
      this.step({ kind: 'persisted', receipt })
      if (boot !== this.boot) return
    }
  }

  #load({ to, from, upTo, term, bytesMax }: Load): void {
    this.#later(() => {
      const entries = this.#read(from, upTo, bytesMax)
      if (entries === null) return
      this.step({ kind: 'loaded', to, term, entries })
    })
  }

  /** Null: the disk gave something else than what was written, and the node stopped. */
  #read(from: LogIndex, upTo: LogIndex, bytesMax?: number): readonly Entry[] | null {
    try {
      return this.disk.read(from, upTo, bytesMax)
    } catch (error) {
      if (!(error instanceof Damage)) throw error
      this.#stop('damage')
      return null
    }
  }

  /** The machine takes one `apply` at a time, in order. */
  #applyLater(): void {
    this.#later(() => {
      const { boot } = this
      const apply = this.#applies.shift()
      if (apply === undefined) return
      const entries = apply.entries ?? this.#read(apply.from, apply.upTo)
      if (entries === null) return
      for (const entry of entries) this.#apply(entry)
      this.#answerReads()
      const last = entries.at(-1)
      assert(last?.index === apply.upTo, 'all that was asked for is applied')
      if (this.#applies.length > 0) this.#applyLater()
      const { index, term } = last
      if (boot !== this.boot) return
      const configuration = lastConfiguration(entries)
      this.step({ kind: 'applied', position: { index, term }, configuration })
    })
  }

  #apply(entry: Entry): void {
    const { witness } = this.#parts
    const fresh = this.machine.apply(entry)
    witness.applied(this, entry)
    const pending = this.#pending.get(entry.index)
    if (pending === undefined) return
    this.#pending.delete(entry.index)
    const mine = pending.term === entry.term
    witness.settled({ id: pending.id, entry, mine, fresh, machine: this.machine })
  }

  #answerReads(): void {
    const { machine } = this
    const readable = this.#readings.filter(({ index }) => index <= machine.length)
    this.#readings = this.#readings.filter(({ index }) => index > machine.length)
    for (const { ids, index } of readable) this.#parts.witness.readable({ ids, index, machine })
  }

  /** After some ticks, unless the node crashed meanwhile. */
  #later(happen: () => void): void {
    const { chance, scheduler } = this.#parts
    const { boot } = this
    scheduler.after(chance.within(0, 2), () => {
      if (boot !== this.boot) return
      if (this.paused) this.#backlog.push(happen)
      else happen()
    })
  }

  /** A machine need not be synced: a power loss sets it back, and the log replays. */
  #loseSomeOfTheMachine(): void {
    const { chance, faults } = this.#parts
    if (this.machine.length === 0 || !chance.happens(0.3)) return
    this.machine.setBack(chance.within(0, this.machine.length - 1))
    faults.add('crash set the machine back')
  }
}
