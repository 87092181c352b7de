import type { Effect } from '../../src/raft/effect.ts'
import type { LogIndex, NodeId, SnapshotHeader } from '../../src/raft/types.ts'
import type { Chance } from './chance.ts'
import type { SimulatedNode } from './node.ts'
import type { Piece, Sent } from './pieces.ts'
import { Receiving } from './receiving.ts'
import { Sending } from './sending.ts'
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
  readonly faults: Tally
  readonly reached: Tally
  readonly send: (sent: Sent) => void
  /** So many ticks later, unless the node crashes meanwhile. */
  readonly after: (ticks: number, happen: () => void) => void
  /** The machine is that of a snapshot. */
  readonly restored: () => void
}

/** What a node does so that its log does not grow for ever, and for peers that are behind its base. */
export class Snapshotting {
  readonly #parts: Parts
  readonly #sending: Sending
  readonly #receiving: Receiving
  /** an install is under way */
  #installing: SnapshotHeader | null = null

  constructor(parts: Parts) {
    this.#parts = parts
    this.#sending = new Sending(parts)
    this.#receiving = new Receiving(parts)
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
    if (boot !== node.boot) return
    disk.image.compact(base)
    node.before = machine.entries.slice(0, base.index)
  }

  send(to: NodeId, atLeast: LogIndex): void {
    this.#sending.begin(to, atLeast)
  }

  receive(piece: Piece): void {
    if (piece.kind === 'chunk-answer') this.#sending.answered(piece)
    else this.#parts.send(this.#receiving.take(piece))
  }

  isReady(header: SnapshotHeader): boolean {
    return this.#receiving.isReady(header)
  }

  /** Nothing is told to anybody before machine and log are the snapshot's. */
  install({ header, whenInstalled }: Install): void {
    const { node, damage, after, send } = this.#parts
    this.#installing = header
    after(damage.within(0, damage.oneOf([2, 40])), () => {
      this.#finish(header)
      for (const message of whenInstalled) send(message)
      const { position } = header
      const configuration = node.machineConfiguration
      node.step({ kind: 'snapshot-installed', position, configuration })
    })
  }

  crash(): void {
    this.#sending.crash()
    this.#interrupt()
    this.#receiving.drop()
    this.#loseSome()
  }

  /** The disk is gone. */
  forget(): void {
    this.#sending.forget()
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
    const { node, reached, snapshots, restored } = this.#parts
    const { image } = node.disk
    const { position } = header
    this.#installing = null
    this.#receiving.drop()
    reached.add('snapshot installed')
    if (image.last.index >= position.index) {
      reached.add(
        image.holds(position)
          ? 'machine refilled by a snapshot'
          : 'snapshot over a conflicting log',
      )
    }
    node.machine.restore(snapshots.file(header))
    image.reset(position)
    node.before = [...node.machine.entries]
    node.hasLostMachine = false
    restored()
  }
}
