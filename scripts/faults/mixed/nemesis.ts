/** What is done to a cluster, drawn from a seed: faults by weight, each healed after a while, and a quiet time each minute. */

import { setTimeout as sleep } from 'node:timers/promises'
import { Chance } from '../../../agent/test/simulation/chance.ts'
import { Calm } from './calm.ts'
import type { Fault, Field, Maker } from './field.ts'
import { rotate } from './kinds/certificates.ts'
import { clockJump } from './kinds/clocks.ts'
import { diskFull, diskShort, fsyncError, powerCut, slowDisk } from './kinds/disks.ts'
import { addAndRemove, bringBack, replace } from './kinds/members.ts'
import { delay, loss, narrow, partition, unplug } from './kinds/networks.ts'
import {
  killAgent,
  killAll,
  killNginx,
  pauseAgent,
  reloadNginx,
  rollingRestart,
  transfer,
} from './kinds/processes.ts'
import { upgrade } from './kinds/upgrades.ts'

interface Kind {
  readonly weight: number
  readonly make: Maker
  /** what it cannot do without */
  readonly needs: readonly Ability[]
}

/** What a machine, or a run, may lack. */
export type Ability =
  | 'hosts'
  | 'shaping'
  | 'delay'
  | 'disks'
  | 'tracing'
  | 'clocks'
  | 'certificates'
  | 'builds'

export const KINDS = {
  'kill -9': { weight: 20, make: killAgent, needs: [] },
  'kill -9 of all': { weight: 2, make: killAll, needs: [] },
  pause: { weight: 10, make: pauseAgent, needs: [] },
  partition: { weight: 20, make: partition, needs: ['hosts'] },
  unplugged: { weight: 2, make: unplug, needs: ['hosts'] },
  loss: { weight: 4, make: loss, needs: ['hosts'] },
  'narrow link': { weight: 3, make: narrow, needs: ['hosts', 'shaping'] },
  delay: { weight: 3, make: delay, needs: ['hosts', 'delay'] },
  'power cut': { weight: 6, make: powerCut, needs: ['disks'] },
  'disk full': { weight: 3, make: diskFull, needs: ['disks'] },
  'disk nearly full': { weight: 3, make: diskShort, needs: ['disks'] },
  'fsync error': { weight: 3, make: fsyncError, needs: ['tracing'] },
  'slow disk': { weight: 3, make: slowDisk, needs: ['tracing'] },
  'clock jump': { weight: 4, make: clockJump, needs: ['clocks'] },
  'nginx reload': { weight: 4, make: reloadNginx, needs: [] },
  'nginx kill -9': { weight: 4, make: killNginx, needs: [] },
  replacement: { weight: 5, make: replace, needs: [] },
  'one more member': { weight: 3, make: addAndRemove, needs: [] },
  transfer: { weight: 5, make: transfer, needs: [] },
  'rolling restart': { weight: 3, make: rollingRestart, needs: [] },
  'rolling upgrade': { weight: 4, make: upgrade, needs: ['builds'] },
  'new certificates': { weight: 4, make: rotate, needs: ['certificates'] },
} as const satisfies Readonly<Record<string, Kind>>

export type KindName = keyof typeof KINDS

/** ms */
const BETWEEN = { min: 3_000, max: 10_000 }
const LASTS = { min: 1_000, max: 20_000 }
const TWO_AT_ONCE = 0.3
const QUIET_MS = 10_000
const MINUTE_MS = 60_000
const TICK_MS = 50

interface Lasting {
  readonly kind: KindName
  readonly fault: Fault
  readonly until: number
}

export interface NemesisOptions {
  readonly field: Field
  readonly abilities: ReadonlySet<Ability>
  /** these only; null: all that can be done */
  readonly only: readonly KindName[] | null
  readonly seed: number
}

export class Nemesis {
  readonly #options: NemesisOptions
  readonly #chance: Chance
  /** how often each kind was done */
  readonly counts = new Map<KindName, number>()
  #lasting: Lasting[] = []
  /** those that are being healed: one may have to wait for another */
  readonly #healing = new Set<Promise<void>>()
  readonly #calm: Calm
  #isCalm = false

  constructor(options: NemesisOptions) {
    this.#options = options
    this.#chance = new Chance(options.seed, 'nemesis')
    const { agents } = options.field
    this.#calm = new Calm(async () => (await agents.leader()) !== null)
  }

  /** the longest that it took in quiet times */
  get leaderlessMs(): number {
    return this.#calm.longestMs
  }

  /** For so long, ms; in the end nothing lasts any more. */
  async rage(ms: number, signal: AbortSignal | null): Promise<void> {
    const begin = performance.now()
    let next = begin + BETWEEN.min
    while (performance.now() - begin < ms) {
      signal?.throwIfAborted()
      const now = performance.now()
      const isQuiet = (now - begin) % MINUTE_MS > MINUTE_MS - QUIET_MS
      this.#heal(isQuiet ? Number.POSITIVE_INFINITY : now)
      const isHealed = isQuiet && this.#healing.size === 0
      this.#isCalm = isQuiet && (this.#isCalm || isHealed)
      await this.#calm.look(this.#isCalm)
      if (isHealed) this.#await(bringBack(this.#options.field))
      await this.#options.field.agents.look()
      if (!isQuiet && now >= next) {
        await this.#strike()
        if (this.#chance.happens(TWO_AT_ONCE)) await this.#strike()
        next = performance.now() + this.#chance.within(BETWEEN.min, BETWEEN.max)
      }
      await sleep(TICK_MS)
    }
    await this.calm()
  }

  async calm(): Promise<void> {
    this.#heal(Number.POSITIVE_INFINITY)
    await Promise.all(this.#healing)
    await this.#options.field.agents.look()
  }

  /** Begins to heal what ends before `now`. */
  #heal(now: number): void {
    const over = this.#lasting.filter(({ until }) => until <= now)
    this.#lasting = this.#lasting.filter(({ until }) => until > now)
    for (const lasting of over) this.#await(this.#healOne(lasting))
  }

  #await(work: Promise<unknown>): void {
    const { ledger } = this.#options.field
    const healing = work.then(
      () => void this.#healing.delete(healing),
      error => {
        this.#healing.delete(healing)
        ledger.violation(`what was done is not undone: ${error?.message ?? error}`)
      },
    )
    this.#healing.add(healing)
  }

  async #healOne({ kind, fault }: Lasting): Promise<void> {
    try {
      await fault.heal()
      this.#options.field.tell(`over: ${fault.what}`)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      this.#options.field.ledger.violation(`${kind} (${fault.what}) does not heal: ${why}`)
    }
  }

  async #strike(): Promise<void> {
    const kind = this.#draw()
    const fault = await this.#make(kind)
    if (fault === null) return
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    this.#options.field.tell(fault.what)
    const until = performance.now() + this.#chance.within(LASTS.min, LASTS.max)
    this.#lasting.push({ kind, fault, until })
  }

  /** What cannot be done to a cluster that works is a violation too. */
  async #make(kind: KindName): Promise<Fault | null> {
    const { field } = this.#options
    try {
      return await KINDS[kind].make(field)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      field.ledger.violation(`${kind} cannot be done: ${why}`)
      return null
    }
  }

  #draw(): KindName {
    const { abilities, only } = this.#options
    const kinds = kindsWith(abilities).filter(kind => only === null || only.includes(kind))
    const sum = kinds.reduce((all, kind) => all + KINDS[kind].weight, 0)
    let left = this.#chance.within(0, sum - 1)
    for (const kind of kinds) {
      left -= KINDS[kind].weight
      if (left < 0) return kind
    }
    throw new Error('there is no fault to draw')
  }
}

/** What can be done with these. */
export function kindsWith(abilities: ReadonlySet<Ability>): readonly KindName[] {
  const all = Object.keys(KINDS) as KindName[]
  return all.filter(kind => KINDS[kind].needs.every(need => abilities.has(need)))
}
