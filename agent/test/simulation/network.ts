import type { NodeId } from '../../src/raft/types.ts'
import type { Chance } from './chance.ts'
import type { Sent } from './pieces.ts'
import type { Scheduler } from './scheduler.ts'
import type { Tally } from './tally.ts'
import { must } from './violation.ts'
import { ELECTION_TICKS, type Weather } from './weather.ts'

/** A message, and between which disks it travels: a name alone does not say who that is (B17). */
export interface Letter {
  readonly message: Sent
  readonly fromIncarnation: string
  readonly toIncarnation: string
}

interface Parts {
  readonly weather: Weather['network']
  readonly chance: Chance
  readonly scheduler: Scheduler
  readonly faults: Tally
  readonly deliver: (letter: Letter) => void
  /** The sender's transport noticed that messages were dropped. */
  readonly unreachable: (from: NodeId, peer: NodeId) => void
}

/** More than all paths together ever hold: messages that multiply end the run. */
const IN_FLIGHT_MAX = 100_000

/** Loses, doubles, delays and reorders messages; blocked links take nothing, in one direction each. */
export class SimulatedNetwork {
  readonly #parts: Parts
  #blocked = new Set<string>()
  /** what arrived on clogged paths, by path */
  readonly #clogged = new Map<string, Letter[]>()
  #inFlight = 0
  #calm = false

  constructor(parts: Parts) {
    this.#parts = parts
  }

  send(letter: Letter): void {
    const { weather, chance, faults, unreachable } = this.#parts
    const { from, to } = letter.message
    if (this.#isBlocked(letter)) {
      faults.add('message lost to a partition')
      if (chance.happens(0.1)) unreachable(from, to)
      return
    }
    if (!this.#calm && chance.happens(weather.loss)) {
      faults.add('message lost')
      return
    }
    this.#schedule(letter, 1)
    if (this.#calm || !chance.happens(weather.duplication)) return
    faults.add('message doubled')
    this.#schedule(letter, 4)
  }

  block(from: NodeId, to: NodeId): void {
    this.#blocked.add(pathOf(from, to))
  }

  heal(): void {
    this.#blocked = new Set()
  }

  /** One path holds all that it is given for some ticks, and then releases it at once. */
  clog(from: NodeId, to: NodeId, ticks: number): void {
    const path = pathOf(from, to)
    if (this.#clogged.has(path)) return
    this.#clogged.set(path, [])
    this.#parts.scheduler.after(ticks, () => this.#release(path))
  }

  /** From now on every message arrives in the next tick. */
  calm(): void {
    this.heal()
    this.#calm = true
    for (const path of [...this.#clogged.keys()]) this.#release(path)
  }

  #schedule(letter: Letter, factor: number): void {
    this.#inFlight++
    must(this.#inFlight <= IN_FLIGHT_MAX, 'storm: messages multiply on the way')
    const sentInCalm = this.#calm
    this.#parts.scheduler.after(this.#delay() * factor, () => {
      this.#inFlight--
      // An order of the storm to take over, twenty E late, is no disturbance that a calm cluster owes an answer for.
      if (sentInCalm === this.#calm) this.#arrive(letter)
    })
  }

  #arrive(letter: Letter): void {
    const { deliver, faults } = this.#parts
    const held = this.#heldWith(letter)
    if (held !== undefined) held.push(letter)
    else if (this.#isBlocked(letter)) faults.add('message lost to a partition')
    else deliver(letter)
  }

  #heldWith({ message: { from, to } }: Letter): Letter[] | undefined {
    return this.#clogged.size === 0 ? undefined : this.#clogged.get(pathOf(from, to))
  }

  #release(path: string): void {
    const held = this.#clogged.get(path) ?? []
    this.#clogged.delete(path)
    for (const letter of held) {
      this.#parts.faults.add('message held by a clog')
      this.#arrive(letter)
    }
  }

  #delay(): number {
    const { weather, chance, faults } = this.#parts
    if (this.#calm) return 1
    if (!chance.happens(weather.late)) return chance.within(1, weather.delayMax)
    faults.add('message late')
    return chance.within(ELECTION_TICKS, 20 * ELECTION_TICKS)
  }

  #isBlocked({ message: { from, to } }: Letter): boolean {
    return this.#blocked.size > 0 && this.#blocked.has(pathOf(from, to))
  }
}

function pathOf(from: NodeId, to: NodeId): string {
  return `${from}→${to}`
}
