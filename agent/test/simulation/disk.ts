import type { Persist } from '../../src/raft/effect.ts'
import { asLogIndex, asTerm, type Entry, type LogIndex } from '../../src/raft/types.ts'
import { DurableImage } from '../raft/durable-image.ts'
import type { Chance } from './chance.ts'
import type { Scheduler } from './scheduler.ts'
import type { Tally } from './tally.ts'
import { ELECTION_TICKS, type Weather } from './weather.ts'

interface Parts {
  readonly weather: Weather['disk']
  readonly chance: Chance
  /** apart from `chance`, so that damage leaves the times of writes alone */
  readonly damage: Chance
  readonly scheduler: Scheduler
  readonly faults: Tally
  readonly reached: Tally
  /** The writes are in the image, and nothing was told to anybody yet. */
  readonly completed: (writes: readonly Persist[]) => void
  /** A write or its fsync failed: the node has to stop (C6). */
  readonly failed: () => void
}

/** A checksum does not fit: whoever reads it must stop (C5, C8). */
export class Damage extends Error {
  override readonly name = 'Damage'
}

/** How much longer a write takes on a disk that was slowed down. */
const SLOWER = 50

/** One write is out at a time; what comes meanwhile is merged into the next one. */
export class SimulatedDisk {
  readonly image = new DurableImage({ term: asTerm(0), vote: null, commit: asLogIndex(0) }, [])
  readonly #parts: Parts
  #outstanding: readonly Persist[] = []
  #waiting: Persist[] = []
  /** names the outstanding write: the completion of another one is void */
  #number = 0
  #calm = false
  /** the last record was cut off while it was written */
  #torn = false
  /** an entry of which a byte has changed */
  #rotten: LogIndex | null = null
  #slowUntil = 0

  constructor(parts: Parts) {
    this.#parts = parts
  }

  get rotten(): boolean {
    return this.#rotten !== null && this.#rotten > this.image.base.index
  }

  persist(write: Persist): void {
    this.#waiting.push(write)
    if (this.#outstanding.length === 0) this.#start()
  }

  /**
   * Verifies every record, as a start does. A torn tail is cut: nobody was told of it.
   * @throws Damage where a record in the middle is damaged
   */
  open(): DurableImage {
    if (this.rotten) throw new Damage(`entry ${this.#rotten} is damaged`)
    if (this.#torn) this.#parts.reached.add('torn record cut')
    this.#torn = false
    return this.image
  }

  /**
   * Entries as they are on disk: at least one, then up to `bytesMax`.
   * @throws Damage
   */
  read(from: LogIndex, upTo: LogIndex, bytesMax?: number): readonly Entry[] {
    const entries = this.image.slice(from, upTo, bytesMax)
    const rotten = entries.find(({ index }) => index === this.#rotten)
    if (rotten !== undefined) throw new Damage(`entry ${rotten.index} is damaged`)
    return entries
  }

  /** Loses any suffix of what has not completed; the first record of it may be torn. */
  crash(): void {
    const { chance, damage, faults } = this.#parts
    const open = [...this.#outstanding, ...this.#waiting]
    this.#outstanding = []
    this.#waiting = []
    this.#number++
    if (open.length === 0) return
    const kept = chance.within(0, open.length)
    for (const write of open.slice(0, kept)) this.image.write(write)
    faults.add(kept < open.length ? 'crash lost writes' : 'crash kept unfinished writes')
    this.#torn = kept < open.length && damage.happens(0.5)
    if (this.#torn) faults.add('crash tore a record')
  }

  /** A byte changes of one of the last entries known to be committed; false: there is none yet. */
  rot(): boolean {
    const { commit } = this.image.hardState
    const first = Math.max(this.image.base.index + 1, commit - 5)
    if (commit < first) return false
    this.#rotten = asLogIndex(this.#parts.damage.within(first, commit))
    return true
  }

  /** Every write takes much longer for so many ticks. */
  slowDown(ticks: number): void {
    this.#slowUntil = this.#parts.scheduler.now + ticks
  }

  /** From now on a write takes a tick, the outstanding one included, and none fails. */
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
    const { weather, damage, failed, completed } = this.#parts
    if (!this.#calm && damage.happens(weather.error)) {
      failed()
      return
    }
    const writes = this.#outstanding
    this.#outstanding = []
    for (const write of writes) this.image.write(write)
    // The next write starts before anybody hears of this one, as on a real disk it may.
    if (this.#waiting.length > 0) this.#start()
    completed(writes)
  }

  #ticks(): number {
    const { weather, chance, faults, scheduler } = this.#parts
    if (this.#calm) return 1
    const slower = scheduler.now < this.#slowUntil ? SLOWER : 1
    if (!chance.happens(weather.stuck)) return chance.within(0, weather.ticksMax) * slower
    faults.add('write stuck')
    return chance.within(2 * ELECTION_TICKS, 8 * ELECTION_TICKS)
  }
}
