/** One run: every point of the plan, by turns, and what is measured beside loads. */

import { spawnSync } from 'node:child_process'
import { TARGET_SPECS, type Target } from './cluster.ts'
import type { Extent, JobResult } from './job.ts'
import type { LoadProcess } from './load-process.ts'
import { LOAD_SPECS, type LoadName } from './loads.ts'
import type { Options } from './options.ts'
import type { Peers } from './peers/clusters.ts'
import { type Group, groupsOf, pointsOf } from './plan.ts'
import { progressText } from './report/tables.ts'
import type { Measurement, Point } from './summary.ts'

const PREPARE_CONCURRENCY = 64
const PREPARE_MS = 1_000
const WARM_UP_SHARE = 0.25

export interface Bench {
  readonly options: Options
  readonly peers: Peers
  readonly load: LoadProcess
  /** shows a line at once */
  readonly say: (line: string) => void
}

export async function measureLoads(bench: Bench): Promise<Measurement[]> {
  const { options, peers, say } = bench
  const groups = groupsOf(options, peers.targets)
  for (const target of peers.targets) await prepare(bench, target, groups)
  const measurements: Measurement[] = []
  for (let repetition = 0; repetition < options.repetitions; repetition += 1) {
    for (const point of pointsOf(groups, repetition)) {
      const result = await measurePoint(bench, point, timed(options))
      const measurement = { ...point, repetition, result }
      measurements.push(measurement)
      say(progressText(measurement))
    }
  }
  return measurements
}

/** As `--seconds` says, after a warm-up. */
export function timed({ seconds }: Options): Extent {
  const measureMs = seconds * 1000
  return { kind: 'timed', warmUpMs: measureMs * WARM_UP_SHARE, measureMs }
}

/** Every key exists, and what compiles while it runs has been compiled. */
async function prepare(bench: Bench, target: Target, groups: readonly Group[]): Promise<void> {
  const loads = new Set(groups.flat().flatMap(one => (one.target === target ? one.load : [])))
  if (loads.size === 0) return
  const point = { load: 'writes', concurrency: PREPARE_CONCURRENCY, target } as const
  if (target !== 'nginx-file') await writeEachKey(bench, point)
  for (const load of loads) {
    const extent = { kind: 'timed', warmUpMs: 0, measureMs: PREPARE_MS } as const
    await measurePoint(bench, { ...point, load }, extent)
  }
}

/** @throws Error when one could not be written */
export async function writeEachKey(bench: Bench, point: Point): Promise<void> {
  const { errors, firstError, operations } = await measurePoint(bench, point, {
    kind: 'each-key-once',
  })
  if (errors > 0 || operations < bench.options.keys) {
    const counted = `${operations} of ${bench.options.keys}`
    const found = `${counted}, ${errors} errors: ${firstError}`
    throw new Error(`${point.target}: writing each key once: ${found}`)
  }
}

export async function measurePoint(bench: Bench, point: Point, extent: Extent): Promise<JobResult> {
  const { peers, options, load } = bench
  const aim = await peers.clusters
    .get(TARGET_SPECS[point.target].peer)
    ?.aimAt(point.target, point.load)
  if (aim === undefined) throw new RangeError(`no cluster for ${point.target}`)
  // what the one before left in the page cache is not this one's to flush
  spawnSync('sync')
  const { concurrency } = point
  const { connectionEach = false, pipelined = false } = TARGET_SPECS[point.target]
  const job = jobOf(options, point.load)
  return load.run({ ...aim, ...job, concurrency, connectionEach, pipelined, extent })
}

function jobOf({ keys, valueBytes, rate }: Options, name: LoadName) {
  const spec = LOAD_SPECS[name]
  return {
    load: spec.load,
    freshness: spec.freshness,
    keys: spec.keys ?? keys,
    valueBytes: spec.valueBytes ?? valueBytes,
    ...(rate === null ? {} : { ratePerSecond: rate }),
  }
}
