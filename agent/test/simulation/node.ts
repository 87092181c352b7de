import { assert } from '../../src/lib/assert.ts'
import { type Configuration, NO_CONFIGURATION } from '../../src/raft/configuration.ts'
import type { Effect, Persist } from '../../src/raft/effect.ts'
import type { Input } from '../../src/raft/input.ts'
import { Raft } from '../../src/raft/raft.ts'
import type { Entry, LogIndex, LogPosition, NodeId } from '../../src/raft/types.ts'
import { type DurableImage, lastConfiguration } from '../raft/durable-image.ts'
import { SimulatedApplier } from './applying.ts'
import { Damage, SimulatedDisk } from './disk.ts'
import { Door } from './door.ts'
import { LogMirror } from './history.ts'
import { SimulatedMachine } from './machine.ts'
import type { Letter } from './network.ts'
import type { NodeParts } from './node-parts.ts'
import { isPiece, type Sent } from './pieces.ts'
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
  /** stands still, as a process that is stopped or a machine that is moved */
  paused = false
  /** found its disk damaged, and does not start (C5) */
  refuses = false
  /** what the log has forgotten, which the machine may lose */
  before: readonly Entry[] = []
  /** somebody took the machine away, and no snapshot has come in its place */
  hasLostMachine = false
  readonly #parts: NodeParts
  /** counts the disks that this node has had */
  #disks = 0
  /** of the disk before this one; it counts as a copy, since a minority may be lost */
  #lostDisk: SimulatedDisk | null = null
  readonly #retired: DurableImage[] = []
  readonly #door: Door
  #first: Configuration
  #applier: SimulatedApplier
  readonly #snapshotting: Snapshotting
  #backlog: (() => void)[] = []
  #time = 0
  #rate: number

  constructor(parts: NodeParts) {
    this.#parts = parts
    this.id = parts.options.id
    const { slowest, fastest } = parts.weather.clocks
    this.#rate = slowest + (fastest - slowest) * parts.clock.share()
    this.#first = parts.first
    this.#snapshotting = new Snapshotting({
      ...parts,
      node: this,
      send: sent => this.#send(sent),
      after: (ticks, happen) => this.#after(ticks, happen),
      restored: () => parts.witness.restored(this),
    })
    this.#door = new Door(this, parts, parts.met)
    this.up = parts.first !== NO_CONFIGURATION
    this.disk = this.#createDisk()
    this.#applier = this.#createApplier()
    this.raft = this.#createRaft()
    this.log = new LogMirror(parts.histories, [])
  }

  /** A wiped disk comes back as somebody else (B17). */
  get incarnation(): string {
    return `${this.id}${this.#disks}`
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
    return !this.up && !this.founder && this.#disks === 0
  }

  /** No member any more for the others, or for itself. */
  get lost(): boolean {
    return this.refuses || this.#lostDisk !== null
  }

  /** On its disk, or on the one that it lost. */
  holds(position: LogPosition): boolean {
    return [this.disk, this.#lostDisk].some(disk => {
      if (disk === null) return false
      return position.index <= disk.image.base.index || disk.image.holds(position)
    })
  }

  /** On any disk that it ever had. */
  everHeld(position: LogPosition): boolean {
    return this.holds(position) || this.#retired.some(image => image.holds(position))
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
    if (!this.up || toIncarnation !== this.incarnation) return
    if (!this.#door.admits(message.from, fromIncarnation)) return
    if (isPiece(message)) this.#now(() => this.#snapshotting.receive(message))
    // Without its file the message means nothing.
    else if (message.kind !== 'install-snapshot' || this.#snapshotting.isReady(message.header)) {
      this.step({ kind: 'receive', message })
    }
  }

  step(input: Input): void {
    if (!this.up) return
    if (this.paused) {
      this.#backlog.push(() => this.step(input))
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
    this.paused = false
    this.#backlog = []
    this.disk.crash()
    this.#snapshotting.crash()
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
  }

  /** While it is down: an empty disk takes the place of its own. */
  wipe(): void {
    assert(!this.up, 'only a disk that is not in use is replaced')
    this.#lostDisk = this.disk
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

  /** Begins anew on an empty disk, and waits to be added. */
  join(): void {
    if (this.up) this.crash()
    this.boot++
    this.#first = NO_CONFIGURATION
    this.#retired.push(this.disk.image)
    this.#replaceDisk()
    this.#lostDisk = null
    this.refuses = false
    this.restart()
  }

  #replaceDisk(): void {
    this.#disks++
    this.#door.forget()
    this.#snapshotting.forget()
    this.disk = this.#createDisk()
    this.machine = new SimulatedMachine()
    this.before = []
    this.hasLostMachine = false
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
    if (!isPiece(message)) this.#parts.witness.leaves(this, message)
    const toIncarnation = this.#parts.incarnationOf(message.to)
    if (!this.#door.admits(message.to, toIncarnation)) return
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
    this.#after(this.#parts.chance.within(0, 2), happen)
  }

  #after(ticks: number, happen: () => void): void {
    const { boot } = this
    this.#parts.scheduler.after(ticks, () => {
      if (boot === this.boot) this.#now(happen)
    })
  }

  /** Unless it stands still. */
  #now(happen: () => void): void {
    if (this.paused) this.#backlog.push(happen)
    else happen()
  }
}
