import { z } from 'zod'

/**
 * What a node's companion tells its agent. `starting`: nothing is known yet. `pending`: a newer tree is there and was
 * not tried. `ok`: nginx runs it. `stopped`: it was checked and is in place, and no nginx runs. `rejected`: nginx, or
 * the companion, refuses it. `blocked`: no tree could be taken, for a reason outside of it.
 */
export const REPORTED_STATES = [
  'starting',
  'pending',
  'ok',
  'stopped',
  'rejected',
  'blocked',
] as const

/** `none`: no companion has told anything since this agent started. `lost`: it tells nothing any more. */
export const STRUCTURE_STATES = [...REPORTED_STATES, 'none', 'lost'] as const

const index = z.int().min(0)
/** First lines of what nginx says are enough to find the place. */
export const WORDS_MAX = 2_000

/** The body of `PUT /v1/cluster/structure`. */
export const structureReport = z.strictObject({
  state: z.enum(REPORTED_STATES),
  index: index.nullable().describe('Of the tree that this nginx runs; null: none.'),
  tried: index.nullable().describe('Of the newest tree that was looked at.'),
  error: z.string().max(WORDS_MAX).nullable().describe('Why `tried` is not what runs.'),
  warning: z.string().max(WORDS_MAX).nullable().describe('What nginx says of what runs.'),
  since: index.describe('Of this state, Unix ms.'),
})

export type StructureReport = z.infer<typeof structureReport>

export interface StructureView extends Omit<StructureReport, 'state'> {
  /** what those keys begin with */
  readonly prefix: string
  readonly state: (typeof STRUCTURE_STATES)[number]
  /** how old the companion's last word is, ms; null: there was none */
  readonly toldMs: number | null
}

/** What has told nothing for so long is lost, ms: three times as long as a companion is silent. */
const LOST_MS = 15_000

/** Where a companion leaves its last word. */
export class StructureDesk {
  /** what the keys begin with that become configuration */
  readonly prefix: string
  readonly #now: () => number
  #last: { readonly report: StructureReport; readonly at: number } | null = null

  /** @param now monotonic ms */
  constructor(prefix: string, now: () => number = () => performance.now()) {
    this.prefix = prefix
    this.#now = now
  }

  tell(report: StructureReport): void {
    this.#last = { report, at: this.#now() }
  }

  view(): StructureView {
    const { prefix } = this
    if (this.#last === null) {
      const nothing = { index: null, tried: null, error: null, warning: null, since: 0 }
      return { prefix, state: 'none', ...nothing, toldMs: null }
    }
    const { report, at } = this.#last
    const toldMs = Math.round(this.#now() - at)
    return { ...report, prefix, state: toldMs > LOST_MS ? 'lost' : report.state, toldMs }
  }
}
