/** Medians over the repetitions of each point. */

import { grouped } from '../lib/grouped.ts'
import { TARGETS, type Target } from './cluster.ts'
import type { JobResult } from './job.ts'
import { LOAD_NAMES, type LoadName } from './loads.ts'
import { median, range } from './statistics.ts'

/** What is measured as one figure. */
export interface Point {
  readonly load: LoadName
  readonly concurrency: number
  readonly target: Target
}

export interface Measurement extends Point {
  readonly repetition: number
  readonly result: JobResult
}

/** `times`: how often it happened. */
export type Unit = 'ms' | 'µs' | 'MiB' | '/s' | 'times'

/** Whose samples are compared with all others'; other ways to us begin with it. */
export const OURS = 'raft-nginx'

/** Something that is measured by itself, such as the time of a failover. */
export interface Sample {
  /** such as `failover` */
  readonly scenario: string
  /** whose, such as `raft-nginx` or `etcd` */
  readonly target: string
  readonly repetition: number
  readonly unit: Unit
  readonly value: number
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
}

export interface ScenarioSummary {
  readonly scenario: string
  readonly target: string
  readonly unit: Sample['unit']
  readonly median: number
  readonly range: readonly [number, number]
  readonly times: number
}

export function summarize(measurements: readonly Measurement[]): Summary[] {
  return [...grouped(measurements, pointName).values()].map(summarizePoint).sort(inTableOrder)
}

export function summarizeScenarios(samples: readonly Sample[]): ScenarioSummary[] {
  const groups = grouped(samples, ({ scenario, target }) => `${scenario}/${target}`)
  return [...groups.values()].flatMap(group => {
    const [first] = group
    if (first === undefined) return []
    const { scenario, target, unit } = first
    const values = group.map(({ value }) => value)
    const spread = { median: median(values), range: range(values), times: values.length }
    return [{ scenario, target, unit, ...spread }]
  })
}

/** Such as `writes/c64/agent`. */
export function pointName({ load, concurrency, target }: Point): string {
  return `${load}/c${concurrency}/${target}`
}

function inTableOrder(one: Point, other: Point): number {
  return (
    LOAD_NAMES.indexOf(one.load) - LOAD_NAMES.indexOf(other.load) ||
    one.concurrency - other.concurrency ||
    TARGETS.indexOf(one.target) - TARGETS.indexOf(other.target)
  )
}

function summarizePoint(measurements: readonly Measurement[]): Summary {
  const [first] = measurements
  if (first === undefined) throw new RangeError('a point without measurements')
  const { load, concurrency, target } = first
  const results = measurements.map(({ result }) => result)
  const rates = results.map(rateOf)
  return {
    load,
    concurrency,
    target,
    perSecond: median(rates),
    perSecondRange: range(rates),
    p50Ms: median(results.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(results.map(({ p99Ms }) => p99Ms)),
    serverCpuUs: median(results.map(serverCpuOf)),
    clientCpuUs: median(results.map(each => each.clientCpuUs / each.operations)),
    errors: results.reduce((sum, { errors }) => sum + errors, 0),
    firstError: results.find(({ firstError }) => firstError !== null)?.firstError ?? null,
  }
}

/** Operations a second. */
export function rateOf({ operations, seconds }: JobResult): number {
  return operations / seconds
}

/** Microseconds an operation. */
export function serverCpuOf({ serverCpuUs, operations }: JobResult): number {
  return serverCpuUs / operations
}
