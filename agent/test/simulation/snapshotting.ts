import type { Effect } from '../../src/raft/effect.ts'
import type { Message } from '../../src/raft/message.ts'
import type { NodeId, SnapshotHeader } from '../../src/raft/types.ts'
import type { Chance } from './chance.ts'
import type { SimulatedNode } from './node.ts'
import type { Scheduler } from './scheduler.ts'
import type { Snapshots } from './snapshots.ts'
import type { Tally } from './tally.ts'
import type { Weather } from './weather.ts'

type Install = Extract<Effect, { kind: 'install-snapshot' }>

interface Parts {
  readonly node: SimulatedNode
  readonly weather: Weather
  readonly snapshots: Snapshots
  readonly chance: Chance
  readonly damage: Chance
  readonly scheduler: Scheduler
  readonly faults: Tally
  readonly reached: Tally
  readonly send: (message: Message) => void
  /** Some ticks later, unless the node crashes meanwhile. */
  readonly later: (happen: () => void) => void
}

/** What a node does so that its log does not grow for ever, and for peers that are behind its base. */
export class Snapshotting {
  readonly #parts: Parts
  /** an install is under way */
  #installing: SnapshotHeader | null = null

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** E5: the log forgets only what power loss cannot take from the machine. */
  compact(): void {
    const { node, weather, reached } = this.#parts
    const { every, trailing } = weather.snapshots
    const { machine, disk, boot } = node
    if (every === 0 || machine.length - disk.image.base.index < every + trailing) return
    machine.checkpoint()
    const entry = machine.entries[machine.length - trailing - 1]
    if (entry === undefined) return
    reached.add('log compacted')
    const base = { index: entry.index, term: entry.term }
    node.step({ kind: 'compacted', base })
    if (boot === node.boot) disk.image.compact(base)
  }

  send(to: NodeId): void {
    const { node, weather, snapshots, damage, scheduler, faults, reached, send } = this.#parts
    const header = snapshots.take(node.id, node.machine, node.machineConfiguration)
    const { boot, id: from } = node
    scheduler.after(damage.within(1, 20), () => {
      if (boot !== node.boot) return
      const ok = !damage.happens(weather.snapshots.lost)
      const { role, term } = node.raft.state
      if (!ok) faults.add('snapshot lost')
      else if (role.kind === 'leader') {
        reached.add('snapshot sent')
        send({ kind: 'install-snapshot', from, to, term, header })
      }
      node.step({ kind: 'snapshot-sent', to, ok })
    })
  }

  /** Nothing is told to anybody before machine and log are the snapshot's. */
  install({ header, whenInstalled }: Install): void {
    const { node, later, send } = this.#parts
    this.#installing = header
    later(() => {
      this.#finish(header)
      for (const message of whenInstalled) send(message)
      const { position } = header
      const configuration = node.machineConfiguration
      node.step({ kind: 'snapshot-installed', position, configuration })
    })
  }

  crash(): void {
    this.#interrupt()
    this.#loseSome()
  }

  /** From its marker on an install is finished by the next start; before, nothing has happened. */
  #interrupt(): void {
    const { faults, damage } = this.#parts
    const header = this.#installing
    if (header === null) return
    this.#installing = null
    faults.add('install interrupted')
    if (damage.happens(0.5)) this.#finish(header)
  }

  /** A machine need not be synced: a power loss sets it back, and the log replays. */
  #loseSome(): void {
    const { node, chance, faults } = this.#parts
    const { durable, length } = node.machine
    if (length === durable || !chance.happens(0.3)) return
    node.machine.setBack(chance.within(durable, length - 1))
    faults.add('crash set the machine back')
  }

  #finish(header: SnapshotHeader): void {
    const { node, reached, snapshots } = this.#parts
    const { index } = header.position
    this.#installing = null
    reached.add('snapshot installed')
    if (node.log.length >= index) reached.add('snapshot over a conflicting log')
    node.machine.restore(snapshots.file(header))
    node.disk.image.reset(header.position)
  }
}
