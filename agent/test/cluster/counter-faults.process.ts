/** The short form of `npm run faults -- counter`. Run by itself: `npx tsx agent/test/cluster/counter-faults.process.ts`. */

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { type CounterReport, runCounter } from '../../../scripts/faults/counter.ts'
import { ROOT } from '../../../scripts/lib/layout.ts'
import { FAULT_POINTS } from '../../src/node/fault-points.ts'

t.setTimeout(240_000)

for (const [machine, kills, points] of [
  ['sql', 20, FAULT_POINTS],
  ['counter', 6, []],
] as const) {
  t.test(`${machine}: each acknowledged increment counts once, through kills`, async t => {
    const seed = Date.now() % 1_000_000_000
    const options = {
      nodes: 3,
      power: false,
      planted: false,
      seed,
      machine,
      say: (line: string) => t.comment(line),
      signal: null,
    }
    const report = await runCounter({ ...options, kills, points })
    t.comment(figuresOf(report))
    t.strictSame(report.why, [], report.directory ?? '')
    t.ok(report.kills >= kills)
    for (const point of points) t.ok(Object.hasOwn(report.faultPoints, point), point)
    const { acknowledged, unknown, count } = report
    t.ok(count !== null && acknowledged <= count && count <= acknowledged + unknown)
    t.ok(acknowledged > 50, 'clients were answered')
  })
}

t.test('the command says what is wrong with its words', async t => {
  const run = (...args: string[]) => {
    const loader = join(ROOT, 'node_modules/tsx/dist/loader.mjs')
    const command = ['--import', loader, join(ROOT, 'scripts/faults.ts'), ...args]
    return spawnSync(process.execPath, command, { cwd: ROOT, encoding: 'utf8' })
  }
  for (const [args, why] of [
    [[], /say which faults/],
    [['storm'], /there are no faults storm/],
    [['counter', '--kills', '0'], /--kills must be/],
    [['counter', '--machine', 'x'], /--machine must be/],
    [['counter', '--lots'], /Unknown option/],
  ] as const) {
    const { status, stderr, stdout } = run(...args)
    t.equal(status, 2, args.join(' '))
    t.match(stderr, why)
    t.equal(stdout, '')
  }
  const help = run('--help')
  t.match(help, { status: 0, stdout: /npm run faults -- counter/ })
})

t.test('an agent with a crash planned wrongly does not start', async t => {
  const main = join(ROOT, 'agent/dist/main.js')
  const config = join(t.testdir({ 'a.json': ONE_NODE }), 'a.json')
  const env = { ...process.env, RAFT_NGINX_FAIL: 'persist:later:kill@1' }
  const { status, stderr } = spawnSync(process.execPath, [main, '--config', config], { env })
  t.equal(status, 2)
  t.match(stderr.toString(), /RAFT_NGINX_FAIL: must be POINT:kill@N/)
})

const ONE_NODE = JSON.stringify({
  nodes: [{ id: 'a', address: '127.0.0.1:1', raft_bind: '127.0.0.1:2' }],
})

function figuresOf({ why, directory, ...figures }: CounterReport): string {
  return JSON.stringify(figures)
}
