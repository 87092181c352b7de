import type { Effect } from '../../src/raft/effect.ts'
import type { Chance } from './chance.ts'
import { DamageNemesis } from './damage.ts'
import type { Memberships } from './memberships.ts'
import type { SimulatedNetwork } from './network.ts'
import type { SimulatedNode } from './node.ts'
import type { Scheduler } from './scheduler.ts'
import type { Tally } from './tally.ts'
import type { Weather } from './weather.ts'

interface Parts {
  readonly weather: Weather
  readonly chance: Chance
  /** apart from `chance`, so that transfers leave the other faults alone */
  readonly transfers: Chance
  readonly pauses: Chance
  readonly damage: Chance
  readonly scheduler: Scheduler
  readonly network: SimulatedNetwork
  readonly nodes: readonly SimulatedNode[]
  readonly memberships: Memberships
  readonly faults: Tally
}

type Shape = (nodes: readonly SimulatedNode[]) => void

/** Breaks links and kills nodes, by plan and where it hurts most. */
export class Nemesis {
  readonly #parts: Parts
  /** in this order in every run: a draw chooses by position */
  readonly #shapes: readonly (readonly [string, Shape])[] = [
    ['partition: bisection', nodes => this.#bisect(nodes)],
    ['partition: bisection', nodes => this.#bisect(nodes)],
    ['partition: leader isolated', nodes => this.#isolate(nodes, this.#leader() ?? nodes[0])],
    ['partition: one-way link', nodes => this.#cut(nodes, false)],
    ['partition: one link', nodes => this.#cut(nodes, true)],
    ['partition: chain', nodes => this.#chain(nodes)],
  ]
  readonly #damage: DamageNemesis
  #partition = 0
  #calm = false

  constructor(parts: Parts) {
    this.#parts = parts
    const { weather, damage, network, nodes, memberships, faults } = parts
    this.#damage = new DamageNemesis({
      ...{ weather: weather.damage, chance: damage, network, nodes, memberships, faults },
      restartLater: node => this.restartLater(node),
    })
  }

  tick(): void {
    const { weather, chance, transfers, pauses, nodes } = this.#parts
    const { partitionEvery, crash, harass, transfer, pause, forget } = weather.nemesis
    if (this.#rests()) return
    if (partitionEvery > 0 && chance.happens(1 / partitionEvery)) this.#startPartition()
    if (chance.happens(crash)) this.#kill(nodes)
    if (chance.happens(harass)) this.#harass()
    if (transfers.happens(transfer)) this.#transfer()
    if (pauses.happens(pause)) this.#pause()
    if (pauses.happens(forget)) this.#forget()
    this.#damage.tick()
  }

  /** Asked when a write has just completed, and nobody knows of it. */
  crashesAtCompletion(node: SimulatedNode): boolean {
    const { weather, chance, faults } = this.#parts
    if (this.#rests() || !chance.happens(weather.nemesis.crashAtWrite)) return false
    faults.add('crash after a write completed')
    this.#crash(node, chance.within(1, 3))
    return true
  }

  /** Asked when the effects of a step were started. */
  afterIssue(node: SimulatedNode, effects: readonly Effect[]): void {
    const { weather, chance, faults } = this.#parts
    if (this.#rests() || !node.up || !effects.some(({ kind }) => kind === 'persist')) return
    if (!chance.happens(weather.nemesis.crashAtWrite)) return
    faults.add('crash after a write was issued')
    this.#crash(node, chance.within(1, 3))
  }

  /** From now on nothing breaks, and what is down stays down until `restore`. */
  calm(): void {
    this.#calm = true
    // No heal of the storm may end a partition of the calm.
    this.#partition++
  }

  /** Starts what is down, and wakes what stands still; a damaged disk is found out now. */
  restore(nodes: readonly SimulatedNode[]): void {
    for (const node of nodes) {
      if (node.up && node.disk.rotten) node.crash()
      if (node.aside) node.replaceMachine()
      if (node.up) node.resume()
      else if (!node.waits) node.restart()
    }
  }

  restartLater(node: SimulatedNode): void {
    this.#restartAfter(node, this.#parts.damage.within(5, 65))
  }

  #rests(): boolean {
    const { weather, scheduler } = this.#parts
    const { from, to } = weather.nemesis
    return this.#calm || scheduler.now < from || scheduler.now >= to
  }

  #leader(): SimulatedNode | undefined {
    return this.#parts.nodes.find(({ up, raft }) => up && raft.state.role.kind === 'leader')
  }

  #startPartition(): void {
    const { chance, nodes, faults, network } = this.#parts
    const [name, shape] = chance.oneOf(this.#shapes)
    network.heal()
    shape(nodes)
    faults.add(name)
    this.#healAfter(chance.within(10, 300))
  }

  #healAfter(ticks: number): void {
    const { scheduler, network } = this.#parts
    const number = ++this.#partition
    scheduler.after(ticks, () => {
      if (number === this.#partition) network.heal()
    })
  }

  #kill(nodes: readonly SimulatedNode[]): void {
    const { chance, faults } = this.#parts
    const all = chance.happens(0.2)
    faults.add(all ? 'crash of all' : 'crash')
    for (const node of all ? nodes : [chance.oneOf(nodes)]) {
      if (node.up) this.#crash(node, chance.within(5, 65))
    }
  }

  /** A leader with uncommitted entries is where histories part. */
  #harass(): void {
    const { chance, faults, network, nodes } = this.#parts
    const leader = this.#leader()
    if (leader === undefined || leader.raft.state.commit === leader.raft.last.index) return
    const draw = chance.within(1, 100)
    if (draw <= 45) {
      faults.add('crash of a leader with uncommitted entries')
      this.#crash(leader, chance.within(1, 40))
    } else if (draw <= 90) {
      faults.add('leader left with one peer')
      network.heal()
      const peer = chance.oneOf(nodes)
      for (const node of nodes) if (node !== peer) this.#separate(leader, node)
      this.#healAfter(chance.within(10, 60))
    } else {
      network.heal()
    }
  }

  /** Leaders above all: one that wakes up does not know that it was replaced. */
  #pause(): void {
    const { pauses, faults, nodes, scheduler } = this.#parts
    const leader = pauses.happens(0.5) ? this.#leader() : undefined
    const node = leader ?? pauses.oneOf(nodes)
    const ticks = pauses.within(5, 60)
    if (!node.up || node.paused) return
    faults.add('pause')
    node.pause()
    scheduler.after(ticks, () => node.resume())
  }

  /** Some notice that the connection to their leader ended, whether it is gone or not. */
  #forget(): void {
    const { pauses, faults, nodes } = this.#parts
    faults.add('leader forgotten')
    for (const node of nodes) if (pauses.happens(0.5)) node.step({ kind: 'forget-leader' })
  }

  /** To anybody: level or not, reached or not, up or not. */
  #transfer(): void {
    const { transfers, faults, nodes } = this.#parts
    const to = transfers.oneOf([null, ...nodes.map(({ id }) => id)])
    const leader = this.#leader()
    if (leader === undefined) return
    faults.add('transfer asked for')
    leader.step({ kind: 'transfer', to })
  }

  #crash(node: SimulatedNode, ticks: number): void {
    node.crash()
    this.#restartAfter(node, ticks)
  }

  #restartAfter(node: SimulatedNode, ticks: number): void {
    const { boot } = node
    this.#parts.scheduler.after(ticks, () => {
      if (!node.up && boot === node.boot) node.restart()
    })
  }

  #bisect(nodes: readonly SimulatedNode[]): void {
    const side = new Map(nodes.map(node => [node, this.#parts.chance.happens(0.5)]))
    for (const a of nodes) {
      for (const b of nodes) if (side.get(a) !== side.get(b)) this.#separate(a, b)
    }
  }

  #isolate(nodes: readonly SimulatedNode[], alone: SimulatedNode | undefined): void {
    for (const node of nodes) if (alone !== undefined) this.#separate(alone, node)
  }

  #cut(nodes: readonly SimulatedNode[], bothWays: boolean): void {
    const { chance, network } = this.#parts
    const [a, b] = [chance.oneOf(nodes), chance.oneOf(nodes)]
    if (bothWays) this.#separate(a, b)
    else network.block(a.id, b.id)
  }

  /** Each reaches its neighbours only. */
  #chain(nodes: readonly SimulatedNode[]): void {
    for (const [at, a] of nodes.entries()) for (const b of nodes.slice(at + 2)) this.#separate(a, b)
  }

  #separate(a: SimulatedNode, b: SimulatedNode): void {
    if (a === b) return
    this.#parts.network.block(a.id, b.id)
    this.#parts.network.block(b.id, a.id)
  }
}
