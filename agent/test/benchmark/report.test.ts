import t from 'tap'
import { chartOf } from '../../../scripts/benchmark/report/chart.ts'
import { withFigures } from '../../../scripts/benchmark/report/docs.ts'
import { othersText, scenariosText, tablesText } from '../../../scripts/benchmark/report/tables.ts'
import type { Summary } from '../../../scripts/benchmark/summary.ts'

const AGENT: Summary = {
  ...{ load: 'writes', concurrency: 64, target: 'agent', perSecond: 12_345 },
  ...{ perSecondRange: [10_000, 15_000], p50Ms: 1, p99Ms: 2.5, serverCpuUs: 40, clientCpuUs: 9 },
  ...{ errors: 0, firstError: null },
}
const ETCD: Summary = { ...AGENT, target: 'etcd', perSecond: 5_000 }

t.test('a table a load, with its errors in words', async t => {
  const failed = { ...ETCD, errors: 2, firstError: 'status 503' }
  const lines = tablesText([AGENT, failed]).split('\n')
  t.equal(lines[0], '### writes')
  t.match(lines[4], /^\| agent +\| +64 \| +12,345 \| 10,000 – 15,000 \|/)
  t.match(lines[5], /2 \(status 503\) \|$/)
  t.equal(new Set(lines.slice(2, 6).map(line => line.length)).size, 1, 'columns are aligned')
})

t.test('the longest bar is of the most, and the others are to scale', async t => {
  const svg = chartOf([AGENT, { ...ETCD, perSecond: 12_345 / 2 }], 'a < b')
  const widths = [...svg.matchAll(/<rect [^>]*width="([\d.]+)"/g)].map(([, width]) => Number(width))
  t.equal(widths.length, 2)
  t.ok(Math.abs((widths[0] ?? 0) / (widths[1] ?? 1) - 2) < 0.01)
  t.match(svg, /a &lt; b/)
})

t.test(
  'the chart shows writes at every concurrency, and reads where most come close to their best',
  async t => {
    const at = (load: Summary['load'], concurrency: number) => ({ ...AGENT, load, concurrency })
    const svg = chartOf(
      [
        at('writes', 1),
        at('writes', 64),
        at('local-reads', 1),
        at('local-reads', 64),
        at('edge-reads', 64),
      ],
      'all',
    )
    const groups = [...svg.matchAll(/>([a-z-]+, c = \d+)</g)].map(([, name]) => name)
    t.same(groups, ['writes, c = 1', 'writes, c = 64', 'local-reads, c = 64'])
    t.equal(svg.match(/<rect /g)?.length, 4, 'edge reads stand among local reads')
    t.match(svg, /prefers-color-scheme: dark/)
    t.notMatch(
      svg.replace('http://www.w3.org/2000/svg', ''),
      /https?:|url\(|@import/,
      'nothing from elsewhere',
    )
  },
)

t.test('a busy machine is said to be one', async t => {
  const measured = (othersShare: number) => ({
    ...({ load: 'writes', concurrency: 64, target: 'agent', repetition: 0 } as const),
    result: {
      ...{ operations: 1, errors: 0, firstError: null, seconds: 1, p50Ms: 1, p99Ms: 1, maxMs: 1 },
      ...{ gapMs: 1, serverCpuUs: 1, clientCpuUs: 1, othersShare },
    },
  })
  t.match(othersText([measured(0.3)]), /median 30 % .*no figures to rely on/)
  t.notMatch(othersText([measured(0.03)]), /rely/)
})

t.test('figures are put between their marks, again and again', async t => {
  const begin = '<!-- figures: scripts/bench --write-docs -->'
  const document = `before\n${begin}\nold\n<!-- end of figures -->\nafter\n`
  const once = withFigures(document, 'new\n')
  t.equal(once, `before\n${begin}\n\nnew\n\n<!-- end of figures -->\nafter\n`)
  t.equal(withFigures(once, 'new'), once)
  t.throws(() => withFigures('no marks', 'new'), /has no/)
})

t.test('what was measured beside loads has a row a figure and a column a store', async t => {
  const failover = { scenario: 'failover', unit: 'ms', range: [100, 300], times: 3 } as const
  const disk = { ...failover, scenario: 'disk-append-4k', target: 'disk', unit: '/s' } as const
  const lines = scenariosText([
    { ...disk, median: 2_000, range: [1_500, 2_500] },
    { ...failover, target: 'raft-nginx', median: 200 },
    { ...failover, target: 'etcd', median: 1_250, range: [1_250, 1_250], times: 1 },
  ]).split('\n')
  t.match(lines[4], /^\| disk-append-4k, \/s +\| +2,000 \(1,500 – 2,500\) \|$/)
  t.match(lines[8], /^\| median \(range\) +\| +raft-nginx +\| +etcd +\|$/)
  t.match(lines.at(-2), /^\| failover, ms +\| 200 \(100 – 300\) +\| +1,250 \|$/)
})
