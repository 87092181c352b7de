import t from 'tap'
import { type Options, parseOptions } from '../../../scripts/benchmark/options.ts'
import { groupsOf, pointsOf } from '../../../scripts/benchmark/plan.ts'
import { pointName } from '../../../scripts/benchmark/summary.ts'

function optionsOf(...args: readonly string[]): Options {
  const parsed = parseOptions(args)
  if (parsed.kind !== 'options') throw new Error(parsed.kind)
  return parsed.options
}

t.test('quick measures what the aims name', async t => {
  const options = optionsOf('--quick')
  const names = groupsOf(options, options.targets).flat().map(pointName)
  for (const name of [
    'writes/c1/agent-pipelined',
    'writes/c64/agent',
    'edge-reads/c64/edge-pipelined',
    'writes/c256/etcd',
    'writes/c64/gateway',
    'writes/c256/etcd-conns',
    'linearizable-reads/c64/etcd',
    'local-reads/c64/nginx-file',
    'local-reads/c64/gateway',
    'edge-reads/c64/edge',
  ]) {
    t.ok(names.includes(name), name)
  }
})

t.test('each repetition has every point once, and another one first', async t => {
  const options = optionsOf('--loads', 'writes', '--concurrency', '1,64')
  const groups = groupsOf(options, ['agent', 'gateway', 'etcd'])
  const runs = [0, 1, 2].map(repetition => pointsOf(groups, repetition).map(pointName))
  for (const run of runs) t.same([...run].sort(), [...(runs[0] ?? [])].sort())
  t.same(new Set(runs.map(([first]) => first)).size, 3)
  const places = runs.map(run => run.findIndex(name => name.startsWith('writes/c64/')))
  t.same(places, [3, 3, 3], 'targets of one point follow one another')
})

t.test('a target is asked only what it has an answer to', async t => {
  const options = optionsOf('--loads', 'writes,linearizable-reads,edge-reads', '--concurrency', '1')
  const names = groupsOf(options, ['agent', 'edge', 'redis']).flat().map(pointName)
  t.same(names, [
    'writes/c1/agent',
    'writes/c1/redis',
    'linearizable-reads/c1/agent',
    'edge-reads/c1/edge',
  ])
})

t.test('options that make no sense are refused with their name', async t => {
  for (const [args, words] of [
    [['--targets', 'mysql'], /--targets: mysql is none of agent/],
    [['--concurrency', '1,x'], /--concurrency: x/],
    [['--seconds', '0'], /--seconds: 0/],
    [['--nodes', '2.5'], /--nodes/],
    [['--frobnicate'], /frobnicate/],
  ] as const) {
    const parsed = parseOptions(args)
    t.equal(parsed.kind, 'refused')
    if (parsed.kind === 'refused') t.match(parsed.reason, words)
  }
})
