/** Full load for as long as it is wanted, and whether anybody was elected meanwhile. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Aim, Cluster } from '../cluster.ts'
import type { JobResult } from '../job.ts'
import type { LoadProcess } from '../load-process.ts'
import { askJson } from '../peers/probe.ts'
import { median, rounded } from '../statistics.ts'
import { rateOf, serverCpuOf } from '../summary.ts'
import { memoryOf } from './memory.ts'

/** So long is one measurement: what is reported while the run goes on, ms. */
const SLICE_MS = 10_000
/** Terms are asked for so often, ms. */
const ASK_EVERY_MS = 250
const LEADER_TRIES = 120

export interface SteadyOptions {
  readonly minutes: number
  readonly concurrency: number
  readonly valueBytes: number
  readonly keys: number
}

export interface SteadyRun {
  readonly cluster: Cluster
  readonly load: LoadProcess
  readonly options: SteadyOptions
  readonly say: (line: string) => void
  /** aborted: the slice under way is the last */
  readonly stop: AbortSignal
}

/** A rise of the newest term that any node knows: somebody asked for votes. */
export interface TermChange {
  readonly afterMs: number
  readonly from: number
  readonly to: number
}

export interface Steady {
  readonly minutes: number
  readonly writes: number
  readonly errors: number
  readonly firstError: string | null
  /** medians of slices of 10 s, and their range */
  readonly perSecond: number
  readonly perSecondRange: readonly [number, number]
  readonly p99Ms: number
  readonly cpuUs: number
  /** longest time without an answer, of any slice */
  readonly longestGapMs: number
  readonly termChanges: readonly TermChange[]
  /** PSS of each node, MiB */
  readonly memoryMiB: { readonly before: readonly number[]; readonly after: readonly number[] }
  /** of the machine's CPU, median; 0 to 1 */
  readonly othersShare: number
}

export async function measureSteady(run: SteadyRun): Promise<Steady> {
  const { cluster, options, say, stop } = run
  const memory = () => cluster.members().map(({ pid }) => rounded(memoryOf(pid).pss, 0))
  const terms = new Terms(cluster)
  const before = memory()
  const beganMs = performance.now()
  const slices: JobResult[] = []
  try {
    while (!stop.aborted && performance.now() - beganMs < options.minutes * 60_000) {
      const slice = await sliceOf(run)
      slices.push(slice)
      const elections = `${terms.changes.length} elections`
      const rate = `${rateOf(slice).toFixed(0)}/s, p99 ${slice.p99Ms.toFixed(0)} ms`
      say(`${minutesSince(beganMs)} min: ${rate}, gap ${slice.gapMs.toFixed(0)} ms, ${elections}`)
    }
  } finally {
    await terms.stop()
  }
  const minutes = minutesSince(beganMs)
  const memoryMiB = { before, after: memory() }
  return { minutes, ...inAll(slices), termChanges: terms.changes, memoryMiB }
}

/** What the slices say together. */
export function inAll(slices: readonly JobResult[]) {
  const sum = (of: (slice: JobResult) => number) =>
    slices.reduce((whole, slice) => whole + of(slice), 0)
  const middle = (of: (slice: JobResult) => number) => rounded(median(slices.map(of)), 2)
  const rates = slices.map(slice => Math.round(rateOf(slice)))
  const perSecondRange: readonly [number, number] = [Math.min(...rates), Math.max(...rates)]
  return {
    writes: sum(({ operations }) => operations),
    errors: sum(({ errors }) => errors),
    firstError: slices.find(({ firstError }) => firstError !== null)?.firstError ?? null,
    perSecond: middle(rateOf),
    perSecondRange,
    p99Ms: middle(({ p99Ms }) => p99Ms),
    cpuUs: middle(serverCpuOf),
    longestGapMs: rounded(Math.max(...slices.map(({ gapMs }) => gapMs)), 1),
    othersShare: middle(({ othersShare }) => othersShare),
  }
}

async function sliceOf({ cluster, load, options }: SteadyRun): Promise<JobResult> {
  const { concurrency, keys, valueBytes } = options
  return load.run({
    ...(await leaderOf(cluster)),
    ...{ load: 'writes', concurrency, keys, valueBytes },
    extent: { kind: 'timed', warmUpMs: 0, measureMs: SLICE_MS },
  })
}

/** Waits for one where none leads. @throws Error after a while */
async function leaderOf(cluster: Cluster): Promise<Aim> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await cluster.aimAt('agent', 'writes')
    } catch (error) {
      if (tries === LEADER_TRIES) throw error
      await sleep(ASK_EVERY_MS)
    }
  }
}

/** Asks every node for its term until it is stopped. */
class Terms {
  readonly changes: TermChange[] = []
  readonly #cluster: Cluster
  readonly #beganMs = performance.now()
  readonly #asking: Promise<void>
  #newest = 0
  #stopped = false

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    this.#asking = this.#ask()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#asking
  }

  async #ask(): Promise<void> {
    while (!this.#stopped) {
      const answers = await Promise.all(
        this.#cluster
          .members()
          .map(({ port }) => askJson(`http://127.0.0.1:${port}/status?brief=1`)),
      )
      const terms = answers.flatMap(answer => {
        const { term } = answer ?? {}
        return typeof term === 'number' ? term : []
      })
      this.#see(Math.max(0, ...terms))
      await sleep(ASK_EVERY_MS)
    }
  }

  #see(term: number): void {
    const from = this.#newest
    this.#newest = Math.max(from, term)
    // the first answer tells only where the run begins
    if (from === 0 || term <= from) return
    this.changes.push({ afterMs: Math.round(performance.now() - this.#beganMs), from, to: term })
  }
}

function minutesSince(beganMs: number): number {
  return rounded((performance.now() - beganMs) / 60_000, 1)
}
