/** What ours is to the others, by name, and what was aimed at. */

import { TARGET_SPECS, type Target } from './cluster.ts'
import { comparedAs } from './plan.ts'
import { median, rounded } from './statistics.ts'
import { type Measurement, OURS, type Point, rateOf, type Sample, serverCpuOf } from './summary.ts'

/** Ours with a connection a client, etcd's all on a few: not the same thing on both sides. */
const CROSSED = '-conns'

/** How a path of ours is called in a ratio's name, behind the load. */
const SUFFIXES: Partial<Record<Target, string>> = {
  'agent-pipelined': '-pipelined',
  agent: '',
  'edge-pipelined': '-pipelined',
  edge: '',
  'agent-socket': '-socket',
  gateway: '-nginx',
  'gateway-follower': '-nginx-follower',
  'gateway-redirect': '-nginx-redirect',
}

/**
 * Beside etcd whose clients share few connections stand those of ours that do; what has a connection a client is called
 * so there, and beside etcd with a connection a client (`etcd-conns`) it is the one.
 */
const BESIDE_ETCD: Partial<Record<Target, string>> = {
  ...SUFFIXES,
  'agent-pipelined': '',
  agent: CROSSED,
  'edge-pipelined': '',
  edge: CROSSED,
}

/** What is compared; of the first more is better, of the others less. */
const FIGURES = [
  { suffix: '', of: rateOf },
  { suffix: '-p99', of: ({ p99Ms }: Measurement['result']) => p99Ms },
  { suffix: '-cpu', of: serverCpuOf },
] as const

interface Goal {
  readonly ratio: string
  readonly bound: 'at least' | 'at most'
  readonly value: number
}

/**
 * Like with like: all clients on few connections, ours and etcd's; and with a connection each, ours and etcd's, which
 * counts as well: an aim is reached in both. Through nginx each has one of its own always.
 */
export const GOALS: readonly Goal[] = [
  { ratio: 'writes/c1/etcd', bound: 'at least', value: 1.2 },
  { ratio: 'writes/c16/etcd', bound: 'at least', value: 1.2 },
  { ratio: 'writes/c64/etcd', bound: 'at least', value: 2 },
  { ratio: 'writes/c256/etcd', bound: 'at least', value: 2 },
  { ratio: 'writes-nginx/c64/etcd', bound: 'at least', value: 1.5 },
  { ratio: 'writes-nginx/c256/etcd', bound: 'at least', value: 1.5 },
  { ratio: 'writes-p99/c64/etcd', bound: 'at most', value: 1 },
  { ratio: 'writes-cpu/c64/etcd', bound: 'at most', value: 0.5 },
  { ratio: 'writes-cpu/c256/etcd', bound: 'at most', value: 0.5 },
  { ratio: 'linearizable-reads/c64/etcd', bound: 'at least', value: 2 },
  { ratio: 'local-reads-nginx/c64/etcd', bound: 'at least', value: 2 },
  { ratio: 'edge-reads/c64/etcd', bound: 'at least', value: 5 },
  { ratio: 'edge-reads-cpu/c64/nginx-file', bound: 'at most', value: 1.5 },
  { ratio: 'failover/etcd', bound: 'at most', value: 0.6 },
  { ratio: 'memory-1m/etcd', bound: 'at most', value: 1 },
]

export interface GoalResult extends Goal {
  readonly measured: number
  /** with a connection a client on both sides; null where that was not measured */
  readonly ownConnections: number | null
  /** with one on our side only; counts for nothing, but is shown */
  readonly crossed: number | null
  readonly reached: boolean
}

/**
 * The median over the repetitions of what ours was to the other in the same one, such as `writes/c64/etcd` (the
 * leader's agent), `writes-nginx/c64/etcd`, `writes-p99/c64/etcd`, `edge-reads/c64/etcd`, `failover/etcd`.
 */
export function ratiosOf(
  measurements: readonly Measurement[],
  samples: readonly Sample[],
): Record<string, number> {
  const ratios: Record<string, number> = {}
  const others = measurements.filter(({ target }) => SUFFIXES[target] === undefined)
  for (const point of distinct(measurements)) {
    if (SUFFIXES[point.target] === undefined) continue
    const own = repetitionsOf(measurements, point)
    const compared = { ...point, load: comparedAs(point.load) }
    for (const target of new Set(others.map(other => other.target))) {
      const path = (target === 'etcd' ? BESIDE_ETCD : SUFFIXES)[point.target]
      const theirs = repetitionsOf(others, { ...compared, target })
      for (const { suffix, of } of FIGURES) {
        const ratio = pairwise(own, theirs, ({ result }) => of(result))
        const name = `${point.load}${path}${suffix}/c${point.concurrency}/${nameOf(target)}`
        if (ratio !== null) ratios[name] = ratio
      }
    }
  }
  return { ...ratios, ...scenarioRatios(samples) }
}

export function goalsOf(ratios: Readonly<Record<string, number>>): GoalResult[] {
  return GOALS.flatMap(goal => {
    const measured = ratios[goal.ratio]
    if (measured === undefined) return []
    const beside = goal.ratio.endsWith('/etcd') ? ratios[`${goal.ratio}-conns`] : undefined
    const ownConnections = beside ?? null
    const against = ownConnections === null ? [measured] : [measured, ownConnections]
    const { bound, value } = goal
    const reached = against.every(one => (bound === 'at least' ? one >= value : one <= value))
    const crossed = ratios[crossedName(goal.ratio)] ?? null
    return [{ ...goal, measured, ownConnections, crossed, reached }]
  })
}

/** Such as `writes-conns-p99/c64/etcd`. */
function crossedName(ratio: string): string {
  return ratio.replace(/^(writes|[a-z]+-reads)(-p99|-cpu)?\//, `$1${CROSSED}$2/`)
}

function scenarioRatios(samples: readonly Sample[]): Record<string, number> {
  const ratios: Record<string, number> = {}
  for (const { scenario, target } of samples) {
    const name = `${scenario}/${target}`
    if (target.startsWith(OURS) || name in ratios) continue
    const valuesOf = (whose: string) =>
      samples.filter(one => one.scenario === scenario && one.target === whose).map(one => one.value)
    const ratio = median(valuesOf(OURS)) / median(valuesOf(target))
    if (Number.isFinite(ratio)) ratios[name] = rounded(ratio, 3)
  }
  return ratios
}

/** Null where they have no repetition in common, or there was nothing to divide by. */
function pairwise(
  own: readonly Measurement[],
  theirs: readonly Measurement[],
  figure: (measurement: Measurement) => number,
): number | null {
  const ratios = own.flatMap(one => {
    const other = theirs.find(({ repetition }) => repetition === one.repetition)
    return other === undefined ? [] : [figure(one) / figure(other)]
  })
  const ratio = median(ratios)
  return Number.isFinite(ratio) ? rounded(ratio, 3) : null
}

function repetitionsOf(all: readonly Measurement[], point: Point): Measurement[] {
  return all.filter(
    ({ load, concurrency, target }) =>
      load === point.load && concurrency === point.concurrency && target === point.target,
  )
}

function distinct(measurements: readonly Measurement[]): Measurement[] {
  return measurements.filter(one => repetitionsOf(measurements, one)[0] === one)
}

function nameOf(target: Target): string {
  return TARGET_SPECS[target].peer === 'compared' ? 'base' : target
}
