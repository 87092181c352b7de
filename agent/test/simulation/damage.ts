import type { Chance } from './chance.ts'
import type { Memberships } from './memberships.ts'
import type { SimulatedNetwork } from './network.ts'
import type { SimulatedNode } from './node.ts'
import type { Tally } from './tally.ts'
import { ELECTION_TICKS, type Weather } from './weather.ts'

interface Parts {
  readonly weather: Weather['damage']
  readonly chance: Chance
  readonly network: SimulatedNetwork
  readonly nodes: readonly SimulatedNode[]
  readonly memberships: Memberships
  readonly faults: Tally
  /** Starts the node again some ticks later. */
  readonly restartLater: (node: SimulatedNode) => void
}

const SLOW_TICKS = 200

/** What crashes and partitions do not do: slow and damaged disks, lost disks, paths that hold back. */
export class DamageNemesis {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  tick(): void {
    const { weather, chance } = this.#parts
    if (chance.happens(weather.slow)) this.#slowDown()
    if (chance.happens(weather.clog)) this.#clog()
    if (chance.happens(weather.rot)) this.#rot()
    if (chance.happens(weather.wipe)) this.#wipe()
    if (chance.happens(weather.machine)) this.#loseMachine()
    if (chance.happens(weather.diverge)) this.#diverge()
    if (chance.happens(weather.repair)) this.#replaceMachine()
  }

  #diverge(): void {
    const { chance, nodes, faults } = this.#parts
    const node = chance.oneOf(nodes)
    if (!node.up || !this.#mayLose(node)) return
    faults.add('machine diverged')
    node.machine.diverge()
  }

  /** Of one that was found to be wrong. */
  #replaceMachine(): void {
    const { chance, nodes, faults, restartLater } = this.#parts
    const found = nodes.filter(({ aside }) => aside)
    if (found.length === 0) return
    faults.add('wrong machine replaced')
    const node = chance.oneOf(found)
    node.replaceMachine()
    restartLater(node)
  }

  /** With a log from its first entry on it is replayed; else somebody has to send a snapshot. */
  #loseMachine(): void {
    const { chance, nodes, faults, restartLater } = this.#parts
    const compacted = nodes.filter(({ disk }) => disk.image.base.index > 0)
    const node = chance.oneOf(compacted.length > 0 ? compacted : nodes)
    if (!this.#mayLose(node)) return
    faults.add(node.disk.image.base.index > 0 ? 'machine lost' : 'machine lost, log whole')
    node.loseMachine()
    restartLater(node)
  }

  #slowDown(): void {
    const { chance, nodes, faults } = this.#parts
    faults.add('slow disk')
    chance.oneOf(nodes).disk.slowDown(SLOW_TICKS)
  }

  #clog(): void {
    const { chance, nodes, network, faults } = this.#parts
    const [from, to] = [chance.oneOf(nodes), chance.oneOf(nodes)]
    const ticks = chance.within(1, 5 * ELECTION_TICKS)
    if (from === to) return
    faults.add('clog')
    network.clog(from.id, to.id, ticks)
  }

  #rot(): void {
    const { chance, nodes, faults } = this.#parts
    const node = chance.oneOf(nodes)
    if (this.#mayLose(node) && node.disk.rot()) faults.add('bit rot')
  }

  #wipe(): void {
    const { chance, nodes, faults, restartLater } = this.#parts
    const node = chance.oneOf(nodes)
    if (!this.#mayLose(node)) return
    faults.add('disk wiped')
    if (node.up) node.crash()
    node.wipe()
    restartLater(node)
  }

  /** A minority at most: nobody promises anything beyond. */
  #mayLose(node: SimulatedNode): boolean {
    if (node.lost || node.waits || node.disk.rotten) return false
    if (node.lacksMachine || node.aside || node.machine.hasDiverged) return false
    return this.#parts.memberships.mayLose(node)
  }
}
