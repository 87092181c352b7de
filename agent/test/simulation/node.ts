import { assert } from '../../src/lib/assert.ts'
import { type Configuration, NO_CONFIGURATION } from '../../src/raft/configuration.ts'
import type { Effect, Persist } from '../../src/raft/effect.ts'
import type { Input } from '../../src/raft/input.ts'
import { Raft } from '../../src/raft/raft.ts'
import type { Entry, LogIndex, LogPosition, NodeId } from '../../src/raft/types.ts'
import { lastConfiguration } from '../raft/durable-image.ts'
import { Agenda } from './agenda.ts'
import { SimulatedApplier } from './applying.ts'
import { Comparing } from './comparing.ts'
import { Damage, SimulatedDisk } from './disk.ts'
import { FormerDisks, incarnationOf } from './disks.ts'
import { Door } from './door.ts'
import { LogMirror } from './history.ts'
import { SimulatedMachine } from './machine.ts'
import type { Letter } from './network.ts'
import type { NodeParts } from './node-parts.ts'
import { isMessage, type Sent } from './pieces.ts'
import { Snapshotting } from './snapshotting.ts'

type Load = Extract<Effect, { kind: 'load' }>

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
  up: boolean
  /** found its disk damaged, and does not start (C5) */
  refuses = false
  /** what the log has forgotten, which the machine may lose */
  before: readonly Entry[] = []
  /** somebody took the machine away, and no snapshot has come in its place */
  hasLostMachine = false
  /** its machine was found to differ from the others': a mark that starts find */
  aside = false
  readonly #parts: NodeParts
  readonly #former = new FormerDisks()
  readonly #door: Door
  #first: Configuration
  #applier: SimulatedApplier
  readonly #snapshotting: Snapshotting
  readonly #comparing: Comparing
  readonly #agenda: Agenda
  #time = 0
  #rate: number

  constructor(parts: NodeParts) {
    this.#parts = parts
    this.#agenda = new Agenda(parts.scheduler)
    this.id = parts.options.id
    const { slowest, fastest } = parts.weather.clocks
    this.#rate = slowest + (fastest - slowest) * parts.clock.share()
    this.#first = parts.first
    this.#snapshotting = new Snapshotting({
      ...parts,
      node: this,
      send: sent => this.#send(sent),
      after: (ticks, happen) => this.#agenda.after(ticks, happen),
      restored: () => parts.witness.restored(this),
    })
    this.#comparing = new Comparing({ ...parts, node: this, send: sent => this.#send(sent) })
    this.#door = new Door(this, parts, parts.met)
    this.up = parts.first !== NO_CONFIGURATION
    this.disk = this.#createDisk()
    this.#applier = this.#createApplier()
    this.raft = this.#createRaft()
    this.log = new LogMirror(parts.histories, [])
  }

  /** A wiped disk comes back as somebody else (B17). */
  get incarnation(): string {
    return incarnationOf(this.id, this.#former.number)
  }

  /** In force here; of a node that is down, when it went down. */
  get configuration(): Configuration {
    return this.raft.state.configuration
  }

  /** Was there before the log said who is who. */
  get founder(): boolean {
    return this.#first !== NO_CONFIGURATION
  }

  /** Never started: waits to be added. */
  get waits(): boolean {
    return !this.up && !this.founder && this.#former.number === 0
  }

  /** No member any more for the others, or for itself. */
  get lost(): boolean {
    return this.refuses || this.#former.lost !== null
  }

  /** On its disk, or on the one that it lost. */
  holds(position: LogPosition): boolean {
    return this.#former.holds(this.disk, position)
  }

  /** On any disk that it ever had. */
  everHeld(position: LogPosition): boolean {
    return this.#former.everHeld(this.disk, position)
  }

  /** Time passes here as fast as the node's own clock runs; a node that stands still takes one tick for all. */
  tick(): void {
    if (this.paused) return
    for (this.#time += this.#rate; this.#time >= 1; this.#time--) {
      this.step({ kind: 'tick' })
      this.#door.introduceMembers()
    }
  }

  /** What happens meanwhile waits. */
  pause(): void {
    this.#agenda.paused = true
  }

  get paused(): boolean {
    return this.#agenda.paused
  }

  resume(): void {
    this.#agenda.resume()
  }

  /** No more faults of its disk and clock. */
  calm(): void {
    this.#rate = 1
    this.disk.calm()
  }

  /** Nothing is taken from, and nothing meant for, another incarnation of the same name (B17). */
  receive({ message, fromIncarnation, toIncarnation }: Letter): void {
    if (!this.up || toIncarnation !== this.incarnation) return
    if (!this.#door.admits(message.from, fromIncarnation)) return
    if (message.kind === 'notice') this.#agenda.now(() => this.#comparing.heard(message))
    else if (!isMessage(message)) this.#agenda.now(() => this.#snapshotting.receive(message))
    // Without its file the message means nothing.
    else if (message.kind !== 'install-snapshot' || this.#snapshotting.isReady(message.header)) {
      this.step({ kind: 'receive', message })
    }
  }

  step(input: Input): void {
    if (!this.up) return
    if (this.paused) {
      this.#agenda.now(() => this.step(input))
      return
    }
    const effects = this.raft.step(input)
    if (input.kind === 'snapshot-installed') this.log = this.#createMirror()
    this.#door.stepped(input, this.raft)
    for (const effect of effects) if (effect.kind === 'persist') this.log.follow(effect)
    this.#parts.witness.stepped(this, input, effects)
    for (const effect of effects) this.#carryOut(effect)
    this.#parts.witness.started(this, effects)
  }

  crash(): void {
    this.up = false
    this.boot++
    this.#agenda.clear()
    this.disk.crash()
    this.#snapshotting.crash()
    this.#comparing.crash()
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
    this.#applier = this.#createApplier()
    this.raft = this.#createRaft()
    this.log = this.#createMirror()
    if (this.aside) this.step({ kind: 'stand-aside' })
  }

  /** While it is down: an empty disk takes the place of its own. */
  wipe(): void {
    assert(!this.up, 'only a disk that is not in use is replaced')
    this.#former.lost = this.disk
    this.#replaceDisk()
  }

  /** The machine is gone, while the log and the vote are whole. */
  loseMachine(): void {
    if (this.up) this.crash()
    this.machine.lose()
    this.hasLostMachine = true
  }

  /** The machine ends before the log begins: nothing is applied and nobody is led until a snapshot comes. */
  get lacksMachine(): boolean {
    return this.machine.length < this.disk.image.base.index
  }

  /** Its machine is not to be trusted: nobody is answered from it any more. */
  standAside(): void {
    this.aside = true
    this.#parts.reached.add(`${this.raft.state.role.kind} stood aside`)
    this.#applier.abandon()
    this.step({ kind: 'stand-aside' })
  }

  /** Somebody takes its machine away, for a new one to be filled from the log or by a snapshot. */
  replaceMachine(): void {
    this.loseMachine()
    this.aside = false
  }

  /** Begins anew on an empty disk, and waits to be added. */
  join(): void {
    if (this.up) this.crash()
    this.boot++
    this.#first = NO_CONFIGURATION
    this.#former.retire(this.disk)
    this.#replaceDisk()
    this.#former.lost = null
    this.refuses = false
    this.restart()
  }

  #replaceDisk(): void {
    this.#former.replace()
    this.#door.forget()
    this.#snapshotting.forget()
    this.disk = this.#createDisk()
    this.machine = new SimulatedMachine()
    this.before = []
    this.hasLostMachine = false
    this.aside = false
  }

  #createDisk(): SimulatedDisk {
    const { weather, chance, damage, scheduler, faults, reached } = this.#parts
    return new SimulatedDisk({
      ...{ weather: weather.disk, chance, damage, scheduler, faults, reached },
      completed: writes => this.#completed(writes),
      failed: () => this.#stop(damage.happens(0.5) ? 'EIO' : 'ENOSPC'),
    })
  }

  #createApplier(): SimulatedApplier {
    const { machine, boot } = this
    const { witness } = this.#parts
    return new SimulatedApplier({
      machine,
      witness: {
        applied: entry => witness.applied(this, entry),
        settled: settled => witness.settled(settled),
        readable: readable => witness.readable(readable),
      },
      read: (from, upTo) => this.#read(from, upTo),
      later: happen => this.#later(happen),
      configured: configuration => this.#door.take(configuration),
      applied: (position, configuration) => {
        if (boot !== this.boot) return
        this.step({ kind: 'applied', position, configuration })
        if (boot === this.boot) this.#snapshotting.compact()
      },
      checked: entry => this.#comparing.passed(entry),
    })
  }

  #createRaft(): Raft {
    const { options, chance } = this.#parts
    const seed = chance.within(0, 0xffff_fffe)
    const { machineConfiguration: current } = this
    const own = { seed, founder: this.founder, incarnation: this.incarnation }
    const raft = new Raft(
      { ...options, ...own },
      this.disk.image.recovered(this.machine.position, current),
    )
    this.#door.started(raft)
    return raft
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
        this.#applier.apply(effect)
        break
      case 'accepted':
        this.#applier.accepted(effect.first, effect.ids)
        witness.accepted(effect.ids)
        break
      case 'unchanged':
        break
      case 'send-snapshot':
        this.#snapshotting.send(effect.to, effect.atLeast)
        break
      case 'install-snapshot':
        this.#snapshotting.install(effect)
        break
      case 'reject':
        witness.rejected(effect)
        break
      case 'read-ready':
        this.#applier.readReady(effect.ids, effect.index)
        break
    }
  }

  #send(message: Sent): void {
    if (isMessage(message)) this.#parts.witness.leaves(this, message)
    const toIncarnation = this.#parts.incarnationOf(message.to)
    if (!this.#door.releases(message, toIncarnation)) return
    this.#parts.send({ message, fromIncarnation: this.incarnation, toIncarnation })
  }

  #completed(writes: readonly Persist[]): void {
    if (this.paused) {
      this.#agenda.now(() => this.#completed(writes))
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
      const isGone = from <= this.disk.image.base.index
      const entries = isGone ? [] : this.#read(from, upTo, bytesMax)
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

  /** As the machine has it. */
  get machineConfiguration(): Configuration {
    return lastConfiguration(this.machine.entries) ?? this.#first
  }

  #createMirror(): LogMirror {
    return new LogMirror(this.#parts.histories, [...this.before, ...this.disk.image.entries])
  }

  /** After some ticks, unless the node crashed meanwhile. */
  #later(happen: () => void): void {
    this.#agenda.after(this.#parts.chance.within(0, 2), happen)
  }
}
