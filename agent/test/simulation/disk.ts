import type { Persist } from '../../src/raft/effect.ts'
import { asLogIndex, asTerm } from '../../src/raft/types.ts'
import { DurableImage } from '../raft/durable-image.ts'
import type { Chance } from './chance.ts'
import type { Scheduler } from './scheduler.ts'
import type { Tally } from './tally.ts'
import { ELECTION_TICKS, type Weather } from './weather.ts'

interface Parts {
  readonly weather: Weather['disk']
  readonly chance: Chance
  readonly scheduler: Scheduler
  readonly faults: Tally
  /** The writes are in the image, and nothing was told to anybody yet. */
  readonly completed: (writes: readonly Persist[]) => void
}

/** One write is out at a time; what comes meanwhile is merged into the next one. */
export class SimulatedDisk {
  readonly image = new DurableImage({ term: asTerm(0), vote: null, commit: asLogIndex(0) }, [])
  readonly #parts: Parts
  #outstanding: readonly Persist[] = []
  #waiting: Persist[] = []
  /** names the outstanding write: the completion of another one is void */
  #number = 0
  #calm = false

  constructor(parts: Parts) {
    this.#parts = parts
  }

  persist(write: Persist): void {
    this.#waiting.push(write)
    if (this.#outstanding.length === 0) this.#start()
  }

  /** Loses any suffix of what has not completed. */
  crash(): void {
    const { chance, faults } = this.#parts
    const open = [...this.#outstanding, ...this.#waiting]
    this.#outstanding = []
    this.#waiting = []
    this.#number++
    if (open.length === 0) return
    const kept = chance.within(0, open.length)
    for (const write of open.slice(0, kept)) this.image.write(write)
    faults.add(kept < open.length ? 'crash lost writes' : 'crash kept unfinished writes')
  }

  /** From now on a write takes a tick, the outstanding one included. */
  calm(): void {
    this.#calm = true
    if (this.#outstanding.length > 0) this.#finishLater(1)
  }

  #start(): void {
    this.#outstanding = this.#waiting
    this.#waiting = []
    this.#finishLater(this.#ticks())
  }

  #finishLater(ticks: number): void {
    const number = ++this.#number
    this.#parts.scheduler.after(ticks, () => {
      if (number === this.#number) this.#finish()
    })
  }

  #finish(): void {
    const writes = this.#outstanding
    this.#outstanding = []
    for (const write of writes) this.image.write(write)
    // The next write starts before anybody hears of this one, as on a real disk it may.
    if (this.#waiting.length > 0) this.#start()
    this.#parts.completed(writes)
  }

  #ticks(): number {
    const { weather, chance, faults } = this.#parts
    if (this.#calm) return 1
    if (!chance.happens(weather.stuck)) return chance.within(0, weather.ticksMax)
    faults.add('write stuck')
    return chance.within(2 * ELECTION_TICKS, 8 * ELECTION_TICKS)
  }
}
