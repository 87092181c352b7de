/** Medians over the repetitions of each point, and ratios to etcd. */

import { isEtcd, TARGETS, type Target } from './cluster.ts'
import { type JobResult, LOADS, type Load } from './job.ts'

/** What is measured as one figure. */
export interface Point {
  readonly load: Load
  readonly concurrency: number
  readonly target: Target
}

export interface Measurement extends Point {
  readonly repetition: number
  readonly result: JobResult
}

/** Medians over the repetitions. */
export interface Summary extends Point {
  readonly perSecond: number
  /** lowest and highest repetition */
  readonly perSecondRange: readonly [number, number]
  readonly p50Ms: number
  readonly p99Ms: number
  /** of all server processes, microseconds an operation */
  readonly serverCpuUs: number
  /** of the load generator, microseconds an operation */
  readonly clientCpuUs: number
  readonly errors: number
  readonly firstError: string | null
  /** operations a second against the better of etcd's APIs at the same load and concurrency */
  readonly timesEtcd: number | null
}

export function summarize(measurements: readonly Measurement[]): Summary[] {
  const groups = new Map<string, Measurement[]>()
  for (const measurement of measurements) {
    const name = pointName(measurement)
    groups.set(name, [...(groups.get(name) ?? []), measurement])
  }
  const summaries = [...groups.values()].map(summarizePoint).sort(inTableOrder)
  return summaries.map(summary => ({ ...summary, timesEtcd: timesEtcd(summary, summaries) }))
}

/** Such as `writes/c64/agent`. */
export function pointName({ load, concurrency, target }: Point): string {
  return `${load}/c${concurrency}/${target}`
}

function inTableOrder(one: Point, other: Point): number {
  return (
    LOADS.indexOf(one.load) - LOADS.indexOf(other.load) ||
    one.concurrency - other.concurrency ||
    TARGETS.indexOf(one.target) - TARGETS.indexOf(other.target)
  )
}

function summarizePoint(measurements: readonly Measurement[]): Summary {
  const [first] = measurements
  if (first === undefined) throw new RangeError('a point without measurements')
  const { load, concurrency, target } = first
  const results = measurements.map(({ result }) => result)
  const rates = results.map(({ operations, seconds }) => operations / seconds)
  return {
    load,
    concurrency,
    target,
    perSecond: median(rates),
    perSecondRange: [Math.min(...rates), Math.max(...rates)],
    p50Ms: median(results.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(results.map(({ p99Ms }) => p99Ms)),
    serverCpuUs: median(results.map(each => each.serverCpuUs / each.operations)),
    clientCpuUs: median(results.map(each => each.clientCpuUs / each.operations)),
    errors: results.reduce((sum, { errors }) => sum + errors, 0),
    firstError: results.find(({ firstError }) => firstError !== null)?.firstError ?? null,
    timesEtcd: null,
  }
}

function timesEtcd(summary: Summary, all: readonly Summary[]): number | null {
  const rates = all
    .filter(({ load, target }) => load === summary.load && isEtcd(target))
    .filter(({ concurrency }) => concurrency === summary.concurrency)
    .map(({ perSecond }) => perSecond)
  return rates.length === 0 ? null : summary.perSecond / Math.max(...rates)
}

/** NaN where one of them is. */
export function median(values: readonly number[]): number {
  if (values.some(Number.isNaN)) return Number.NaN
  const sorted = [...values].sort((one, other) => one - other)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}
