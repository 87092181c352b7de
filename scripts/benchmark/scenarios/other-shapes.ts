/** What needs clusters of another shape than the loads have: started when those have ended. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Target } from '../cluster.ts'
import { type Bench, measureLoads, writeEachKey } from '../run.ts'
import { OURS, rateOf, type Sample, serverCpuOf } from '../summary.ts'
import { samplesOf, whose } from './beside-loads.ts'
import { memoryOf } from './memory.ts'
import { measureRestart } from './restart.ts'

const FILL_CONCURRENCY = 256

/** How the options differ from the run's. */
export const SHAPES = {
  'five-nodes': { nodes: 5, learners: 0, targets: ['agent', 'etcd', 'etcd-conns'] },
  learners: { nodes: 3, learners: 20, targets: ['agent'] },
  million: { nodes: 3, learners: 0, targets: ['agent', 'etcd'] },
} as const satisfies Record<string, { nodes: number; learners: number; targets: Target[] }>
export type ShapedScenario = keyof typeof SHAPES

/** Writes with so many nodes. */
export async function writesOfShape(name: string, bench: Bench): Promise<Sample[]> {
  const options = { ...bench.options, quick: false, loads: ['writes'], concurrency: [64] } as const
  const measurements = await measureLoads({ ...bench, options })
  return measurements.flatMap(({ target, repetition, result }) => {
    const sample = samplesOf(name, whose(target), repetition)
    return [
      sample('writes', '/s', rateOf(result)),
      sample('p99', 'ms', result.p99Ms),
      sample('cpu', 'µs', serverCpuOf(result)),
    ]
  })
}

/** Memory of each member after so many keys, and how long a follower takes to come back with them. */
export async function million(bench: Bench): Promise<Sample[]> {
  const { options, peers, say } = bench
  const present = [
    { target: 'agent', name: OURS, cluster: peers.clusters.get('ours') },
    { target: 'etcd', name: 'etcd', cluster: peers.clusters.get('etcd') },
  ] as const
  const stores = present.flatMap(({ cluster, ...store }) =>
    cluster ? [{ ...store, cluster }] : [],
  )
  const size = options.keys === 1_000_000 ? '1m' : String(options.keys)
  const samples: Sample[] = []
  for (const { target, name, cluster } of stores) {
    const beganMs = performance.now()
    await writeEachKey(bench, { load: 'writes', concurrency: FILL_CONCURRENCY, target })
    const seconds = (performance.now() - beganMs) / 1_000
    say(`${name}: ${options.keys} keys in ${seconds.toFixed(0)} s`)
    samples.push(...memorySamples(`memory-${size}-loaded`, name, cluster))
  }
  await sleep(options.idle * 1_000)
  for (const { name, cluster } of stores) {
    samples.push(...memorySamples(`memory-${size}`, name, cluster))
  }
  for (let repetition = 0; repetition < options.repetitions; repetition += 1) {
    for (const { name, cluster } of stores) {
      for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
        const value = await measureRestart(cluster, signal)
        const scenario = `restart-${size}${signal === 'SIGTERM' ? '' : '-killed'}`
        samples.push({ scenario, target: name, repetition, unit: 'ms', value })
        say(`#${repetition + 1} ${scenario} of ${name}: ${value.toFixed(0)} ms`)
      }
    }
  }
  return samples
}

/** One a member: what it has in memory by its own account of what it shares. */
function memorySamples(scenario: string, target: string, cluster: Cluster): Sample[] {
  return cluster.members().flatMap(({ pid }, repetition) => {
    const { pss, rss } = memoryOf(pid)
    return [
      { scenario, target, repetition, unit: 'MiB', value: pss } as const,
      { scenario: `${scenario}-rss`, target, repetition, unit: 'MiB', value: rss } as const,
    ]
  })
}
