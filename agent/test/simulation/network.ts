import type { Message } from '../../src/raft/message.ts'
import type { NodeId } from '../../src/raft/types.ts'
import type { Chance } from './chance.ts'
import type { Scheduler } from './scheduler.ts'
import type { Tally } from './tally.ts'
import { ELECTION_TICKS, type Weather } from './weather.ts'

interface Parts {
  readonly weather: Weather['network']
  readonly chance: Chance
  readonly scheduler: Scheduler
  readonly faults: Tally
  readonly deliver: (message: Message) => void
  /** The sender's transport noticed that messages were dropped. */
  readonly unreachable: (from: NodeId, peer: NodeId) => void
}

/** Loses, doubles, delays and reorders messages; blocked links take nothing, in one direction each. */
export class SimulatedNetwork {
  readonly #parts: Parts
  #blocked = new Set<string>()
  #calm = false

  constructor(parts: Parts) {
    this.#parts = parts
  }

  send(message: Message): void {
    const { weather, chance, faults, unreachable } = this.#parts
    if (this.#isBlocked(message)) {
      faults.add('message lost to a partition')
      if (chance.happens(0.1)) unreachable(message.from, message.to)
      return
    }
    if (!this.#calm && chance.happens(weather.loss)) {
      faults.add('message lost')
      return
    }
    this.#schedule(message, 1)
    if (this.#calm || !chance.happens(weather.duplication)) return
    faults.add('message doubled')
    this.#schedule(message, 4)
  }

  block(from: NodeId, to: NodeId): void {
    this.#blocked.add(`${from}→${to}`)
  }

  heal(): void {
    this.#blocked = new Set()
  }

  /** From now on every message arrives in the next tick. */
  calm(): void {
    this.heal()
    this.#calm = true
  }

  #schedule(message: Message, factor: number): void {
    const { scheduler, deliver, faults } = this.#parts
    scheduler.after(this.#delay() * factor, () => {
      if (this.#isBlocked(message)) faults.add('message lost to a partition')
      else deliver(message)
    })
  }

  #delay(): number {
    const { weather, chance, faults } = this.#parts
    if (this.#calm) return 1
    if (!chance.happens(weather.late)) return chance.within(1, weather.delayMax)
    faults.add('message late')
    return chance.within(ELECTION_TICKS, 20 * ELECTION_TICKS)
  }

  #isBlocked({ from, to }: Message): boolean {
    return this.#blocked.size > 0 && this.#blocked.has(`${from}→${to}`)
  }
}
