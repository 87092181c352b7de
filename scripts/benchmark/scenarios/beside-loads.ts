/** What is measured on the clusters that have carried the loads. */

import type { Cluster, Peer, Target } from '../cluster.ts'
import { type Bench, measurePoint, timed } from '../run.ts'
import { median } from '../statistics.ts'
import { type Measurement, OURS, rateOf, type Sample, type Unit } from '../summary.ts'
import { measureDisk } from './disk.ts'
import { measureFailover } from './failover.ts'
import { measureRolling } from './rolling-restart.ts'
import { watchAgent, watchEtcd } from './watch-stream.ts'
import { measureWatchers } from './watchers.ts'

/** Of the loads: where the throughput of most is near its highest. */
const USUAL_CONCURRENCY = 64
/** Of a load that is due: more connections than it needs. */
const PACED_CONCURRENCY = 256

export interface BesideLoads extends Bench {
  readonly directory: string
  /** of the loads before */
  readonly measurements: readonly Measurement[]
}

export async function disk({ options, directory, say }: BesideLoads): Promise<Sample[]> {
  const samples: Sample[] = []
  for (let repetition = 0; repetition < options.repetitions; repetition += 1) {
    samples.push(...measureDisk(directory, repetition))
  }
  say(`disk: ${samples.length / options.repetitions} sizes, ${options.repetitions} times`)
  return samples
}

/** By turns, so that a slow minute of the machine hits all. */
export async function failover(bench: BesideLoads): Promise<Sample[]> {
  const samples: Sample[] = []
  for (let repetition = 0; repetition < bench.options.failovers; repetition += 1) {
    for (const { cluster, target } of replicated(bench)) {
      const value = await measureFailover(cluster)
      samples.push({ scenario: 'failover', target, repetition, unit: 'ms', value })
      bench.say(`#${repetition + 1} failover of ${target}: ${value.toFixed(0)} ms`)
    }
  }
  return samples
}

export async function rollingRestart(bench: BesideLoads): Promise<Sample[]> {
  const samples: Sample[] = []
  for (let repetition = 0; repetition < bench.options.repetitions; repetition += 1) {
    for (const { cluster, target } of replicated(bench)) {
      const { gapMs, failed, written, tookMs } = await measureRolling(cluster)
      const sample = samplesOf('rolling-restart', target, repetition)
      samples.push(
        sample('gap', 'ms', gapMs),
        sample('failed', 'times', failed),
        sample('took', 'ms', tookMs),
      )
      const found = `longest gap ${gapMs.toFixed(0)} ms, ${failed} tries failed, ${written} written`
      bench.say(`#${repetition + 1} rolling restart of ${target}: ${found}`)
    }
  }
  return samples
}

/** Each at half of what it reaches itself. */
export async function halfLoad(bench: BesideLoads): Promise<Sample[]> {
  const targets = (['agent', 'gateway', 'etcd', 'etcd-conns'] as const).filter(target =>
    bench.peers.targets.includes(target),
  )
  const rates = new Map<Target, number>()
  for (const target of targets) rates.set(target, (await capacityOf(bench, target)) / 2)
  const samples: Sample[] = []
  for (let repetition = 0; repetition < bench.options.repetitions; repetition += 1) {
    for (const target of targets) {
      const rate = rates.get(target) ?? Number.NaN
      const options = { ...bench.options, rate }
      const point = { load: 'writes', concurrency: PACED_CONCURRENCY, target } as const
      const result = await measurePoint({ ...bench, options }, point, timed(options))
      const sample = samplesOf('half-load', whose(target), repetition)
      samples.push(
        sample('rate', '/s', rateOf(result)),
        sample('p50', 'ms', result.p50Ms),
        sample('p99', 'ms', result.p99Ms),
      )
      const found = `${rateOf(result).toFixed(0)}/s, p99 ${result.p99Ms.toFixed(2)} ms`
      bench.say(`#${repetition + 1} half load of ${whose(target)}: ${found}`)
    }
  }
  return samples
}

export async function watchers(bench: BesideLoads): Promise<Sample[]> {
  const samples: Sample[] = []
  for (let repetition = 0; repetition < bench.options.repetitions; repetition += 1) {
    for (const [peer, target, watch] of [
      ['ours', OURS, watchAgent],
      ['etcd', 'etcd', watchEtcd],
    ] as const) {
      const cluster = bench.peers.clusters.get(peer)
      if (cluster === undefined) continue
      const { p50Ms, p99Ms, cpuUs } = await measureWatchers(cluster, watch)
      const sample = samplesOf('watchers', target, repetition)
      samples.push(
        sample('p50', 'ms', p50Ms),
        sample('p99', 'ms', p99Ms),
        sample('cpu', 'µs', cpuUs),
      )
      const found = `p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, CPU ${cpuUs.toFixed(0)} µs`
      bench.say(`#${repetition + 1} a change to 1,000 watchers of ${target}: ${found}`)
    }
  }
  return samples
}

/** What the loads brought; measured now where they had no such point. */
async function capacityOf(bench: BesideLoads, target: Target): Promise<number> {
  const point = { load: 'writes', concurrency: USUAL_CONCURRENCY, target } as const
  const rates = bench.measurements
    .filter(one => one.load === 'writes' && one.target === target)
    .filter(one => one.concurrency === USUAL_CONCURRENCY)
    .map(({ result }) => rateOf(result))
  if (rates.length > 0) return median(rates)
  return rateOf(await measurePoint(bench, point, timed(bench.options)))
}

/** How a target is called among samples. */
export function whose(target: Target): string {
  if (target === 'agent') return OURS
  return target === 'gateway' ? `${OURS}, nginx` : target
}

/** Samples of one measurement, named `scenario-figure`. */
export function samplesOf(scenario: string, target: string, repetition: number) {
  return (figure: string, unit: Unit, value: number): Sample => ({
    scenario: `${scenario}-${figure}`,
    ...{ target, repetition, unit, value },
  })
}

function replicated({ peers }: Bench): { readonly cluster: Cluster; readonly target: string }[] {
  const names: readonly (readonly [Peer, string])[] = [
    ['ours', OURS],
    ['etcd', 'etcd'],
    ['consul', 'consul'],
  ]
  return names.flatMap(([peer, target]) => {
    const cluster = peers.clusters.get(peer)
    return cluster === undefined ? [] : [{ cluster, target }]
  })
}
