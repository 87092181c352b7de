import { assert } from '../../src/lib/assert.ts'
import {
  type Configuration,
  type MembershipChange,
  NO_CONFIGURATION,
} from '../../src/raft/configuration.ts'
import type { Effect, Persist } from '../../src/raft/effect.ts'
import type { Input } from '../../src/raft/input.ts'
import type { Message } from '../../src/raft/message.ts'
import { Raft } from '../../src/raft/raft.ts'
import type { Entry, LogIndex, LogPosition, NodeId } from '../../src/raft/types.ts'
import { type DurableImage, lastConfiguration } from '../raft/durable-image.ts'
import { SimulatedAdmission } from './admission.ts'
import { SimulatedApplier } from './applying.ts'
import { Damage, SimulatedDisk } from './disk.ts'
import { LogMirror } from './history.ts'
import { SimulatedMachine } from './machine.ts'
import type { Letter } from './network.ts'
import type { NodeParts } from './node-parts.ts'
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
  readonly #parts: NodeParts
  /** counts the disks that this node has had */
  #disks = 0
  /** of the disk before this one; it counts as a copy, since a minority may be lost */
  #lostDisk: SimulatedDisk | null = null
  readonly #retired: DurableImage[] = []
  #admission: SimulatedAdmission
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
      send: message => this.#send(message),
      later: happen => this.#later(happen),
    })
    this.#admission = this.#createAdmission(parts.met)
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
      this.#introduceMembers()
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
    if (this.#admits(message.from, fromIncarnation)) this.step({ kind: 'receive', message })
  }

  step(input: Input): void {
    if (!this.up) return
    if (this.paused) {
      this.#backlog.push(() => this.step(input))
      return
    }
    const effects = this.raft.step(input)
    if (input.kind === 'snapshot-installed') this.log = this.#createMirror()
    this.#admission.stepped(input, this.raft)
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
    this.#admission = this.#createAdmission(new Map())
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

  #createAdmission(met: ReadonlyMap<NodeId, string>): SimulatedAdmission {
    const { id, incarnation, founder } = this
    return new SimulatedAdmission({ id, incarnation, founder, met })
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
      configured: configuration => this.#admission.take(configuration),
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
    this.#admission.started(raft)
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
        this.#snapshotting.send(effect.to)
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

  #send(message: Message): void {
    this.#parts.witness.leaves(this, message)
    const toIncarnation = this.#parts.incarnationOf(message.to)
    if (!this.#admits(message.to, toIncarnation)) return
    this.#parts.send({ message, fromIncarnation: this.incarnation, toIncarnation })
  }

  #admits(peer: NodeId, incarnation: string): boolean {
    const { incarnationOf, reached } = this.#parts
    const objection = this.#admission.objection(
      peer,
      incarnation,
      incarnationOf(peer) === incarnation,
    )
    if (objection !== null) reached.add(`${objection} node refused`)
    return objection === null
  }

  /** The leader tells the cluster who its members are (B17). */
  #introduceMembers(): void {
    const { weather, nextId } = this.#parts
    if (!weather.membership.identify || this.raft.state.role.kind !== 'leader') return
    const found = this.#admission.introduction()
    if (!found) return
    const change: MembershipChange = { kind: 'identify', ...found, address: '', gateway: null }
    this.step({ kind: 'change', id: nextId(), change })
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

  /** The log behind its base, and what was there before as the machine has it. */
  #createMirror(): LogMirror {
    const { base, entries } = this.disk.image
    const before = this.machine.entries.slice(0, base.index)
    return new LogMirror(this.#parts.histories, [...before, ...entries])
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
}
