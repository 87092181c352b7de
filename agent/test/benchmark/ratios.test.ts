import t from 'tap'
import type { Target } from '../../../scripts/benchmark/cluster.ts'
import type { LoadName } from '../../../scripts/benchmark/loads.ts'
import { goalsOf, ratiosOf } from '../../../scripts/benchmark/ratios.ts'
import { median, quantile } from '../../../scripts/benchmark/statistics.ts'
import {
  type Measurement,
  type Sample,
  summarize,
  summarizeScenarios,
} from '../../../scripts/benchmark/summary.ts'

interface Figures {
  readonly rate: number
  readonly p99Ms?: number
  readonly cpuUs?: number
  readonly repetition?: number
}

function measured(load: LoadName, target: Target, figures: Figures): Measurement {
  const { rate, p99Ms = 1, cpuUs = 10, repetition = 0 } = figures
  const result = {
    ...{ operations: rate * 2, seconds: 2, errors: 0, firstError: null },
    ...{ p50Ms: p99Ms / 2, p99Ms, maxMs: p99Ms, gapMs: p99Ms, othersShare: 0 },
    ...{ serverCpuUs: cpuUs * rate * 2, clientCpuUs: rate * 2 },
  }
  return { load, concurrency: 64, target, repetition, result }
}

function failover(target: string, value: number, repetition: number): Sample {
  return { scenario: 'failover', target, repetition, unit: 'ms', value }
}

t.test('a quantile lies between its neighbours, and is none without values', async t => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 2, 3]), 2.5)
  t.equal(quantile([0, 10], 0.25), 2.5)
  t.equal(quantile([7], 0.99), 7)
  t.ok(Number.isNaN(median([])))
  t.ok(Number.isNaN(median([1, Number.NaN])))
})

t.test('ratios are named by load, path and peer', async t => {
  const ratios = ratiosOf(
    [
      measured('writes', 'agent-pipelined', { rate: 300, p99Ms: 5, cpuUs: 50 }),
      measured('writes', 'agent', { rate: 200, p99Ms: 20 }),
      measured('writes', 'etcd-conns', { rate: 50 }),
      measured('writes', 'gateway', { rate: 150 }),
      measured('writes', 'etcd', { rate: 100, p99Ms: 10, cpuUs: 100 }),
      measured('writes', 'compared', { rate: 100 }),
      measured('local-reads', 'etcd', { rate: 1_000 }),
      measured('local-reads', 'gateway', { rate: 2_000 }),
      measured('edge-reads', 'edge-pipelined', { rate: 5_000 }),
      measured('edge-reads', 'edge', { rate: 3_000 }),
    ],
    [],
  )
  t.match(ratios, {
    'writes/c64/etcd': 3,
    'writes-p99/c64/etcd': 0.5,
    'writes-cpu/c64/etcd': 0.5,
    'writes-nginx/c64/etcd': 1.5,
    'writes-conns/c64/etcd': 2,
    'writes-conns-p99/c64/etcd': 2,
    'writes/c64/etcd-conns': 4,
    'writes-pipelined/c64/etcd-conns': 6,
    'writes/c64/base': 2,
    'local-reads-nginx/c64/etcd': 2,
    'edge-reads/c64/etcd': 5,
    'edge-reads-conns/c64/etcd': 3,
  })
  t.notOk('linearizable-reads/c64/etcd' in ratios, 'what was not measured has no ratio')
})

t.test('repetitions are compared one by one, so that a slow minute counts for both', async t => {
  const ratios = ratiosOf(
    [
      measured('writes', 'agent-pipelined', { rate: 200, repetition: 0 }),
      measured('writes', 'etcd', { rate: 100, repetition: 0 }),
      measured('writes', 'agent-pipelined', { rate: 20, repetition: 1 }),
      measured('writes', 'etcd', { rate: 10, repetition: 1 }),
      measured('writes', 'agent-pipelined', { rate: 900, repetition: 2 }),
      measured('writes', 'etcd', { rate: 300, repetition: 2 }),
    ],
    [],
  )
  t.equal(ratios['writes/c64/etcd'], 2)
})

t.test('nothing that was answered is no ratio, and no JSON null', async t => {
  const ratios = ratiosOf(
    [measured('writes', 'agent-pipelined', { rate: 0 }), measured('writes', 'etcd', { rate: 0 })],
    [],
  )
  t.notOk('writes/c64/etcd' in ratios)
})

t.test('scenarios are compared by their medians', async t => {
  const samples = [
    failover('raft-nginx', 300, 0),
    failover('etcd', 1_000, 0),
    failover('raft-nginx', 500, 1),
    failover('etcd', 2_000, 1),
    failover('raft-nginx', 900, 2),
    failover('etcd', 1_500, 2),
  ]
  t.equal(ratiosOf([], samples)['failover/etcd'], 0.333)
  const [ours] = summarizeScenarios(samples)
  t.match(ours, { target: 'raft-nginx', median: 500, range: [300, 900], times: 3, unit: 'ms' })
})

t.test('an aim is reached from its own side', async t => {
  const [writes, failing] = goalsOf({ 'writes/c64/etcd': 2, 'failover/etcd': 0.7 })
  t.match(writes, { ratio: 'writes/c64/etcd', reached: true, measured: 2 })
  t.match(failing, { ratio: 'failover/etcd', bound: 'at most', reached: false })
  t.same(goalsOf({ 'writes/c64/redis': 9 }), [], 'only what is aimed at')
})

t.test(
  'an aim against etcd counts for either way of connecting; what is not like with like is shown',
  async t => {
    const [slow, p99] = goalsOf({
      'writes/c64/etcd': 2.5,
      'writes/c64/etcd-conns': 1.9,
      'writes-conns/c64/etcd': 1.4,
      'writes-p99/c64/etcd': 0.9,
      'writes-conns-p99/c64/etcd': 1.2,
    })
    t.match(slow, { measured: 2.5, ownConnections: 1.9, crossed: 1.4, reached: false })
    t.match(p99, { measured: 0.9, ownConnections: null, crossed: 1.2, reached: true })
    const [fast] = goalsOf({ 'writes/c64/etcd': 2.5, 'writes/c64/etcd-conns': 2.1 })
    t.equal(fast?.reached, true)
    const [file] = goalsOf({ 'edge-reads-cpu/c64/nginx-file': 1.2 })
    t.match(file, { ownConnections: null, reached: true }, 'nothing else has two clients')
  },
)

t.test('a summary is of all repetitions, its errors their sum', async t => {
  const wrong = measured('writes', 'agent', { rate: 50, repetition: 1 })
  const result = { ...wrong.result, errors: 3, firstError: 'status 503' }
  const [summary] = summarize([
    measured('writes', 'agent', { rate: 100 }),
    { ...wrong, result },
    measured('writes', 'agent', { rate: 80, repetition: 2 }),
  ])
  t.match(summary, { perSecond: 80, perSecondRange: [50, 100], errors: 3, serverCpuUs: 10 })
  t.equal(summary?.firstError, 'status 503')
})
