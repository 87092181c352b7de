/**
 * Mixed faults for three minutes, on a seed of their own each time, which decides whether there are three or five
 * nodes: see `npm run faults -- --help`. Beside them nothing else runs. Run by itself: `npx tsx agent/test/faults/nemesis.process.ts`.
 */

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { ROOT } from '../../../scripts/lib/layout.ts'
import { oneLine } from '../../../scripts/lib/one-line.ts'
import { Chance } from '../simulation/chance.ts'

const MINUTES = 3
const { SEED = String(Date.now() % 1_000_000_000) } = process.env

t.setTimeout((MINUTES + 5) * 60_000)

interface Report {
  readonly operations: number
  readonly ok: number
  readonly events: number
  readonly peers: string
  readonly resources: Readonly<Record<string, unknown>>
  readonly violations: number
  readonly hosts: boolean
  readonly faults: Readonly<Record<string, number>>
  readonly notTried: readonly string[]
  readonly why: readonly string[]
}

t.test(`faults of every kind, mixed, seed ${SEED}`, async t => {
  const nodes = new Chance(Number(SEED), 'nodes').oneOf([3, 5])
  const how = ['--minutes', `${MINUTES}`, '--seed', SEED, '--nodes', `${nodes}`]
  const { code, output } = await run([...how, '--json'])
  const report = JSON.parse(output.trimEnd().split('\n').at(-1) ?? '') as Report
  const { operations, ok, events, faults, hosts } = report
  t.comment(
    `seed ${SEED}, ${nodes} nodes, peers ${report.peers}, ${operations} operations, ${ok} ok, ${JSON.stringify(faults)}`,
  )
  if (!hosts) t.comment('not tried: hosts of their own')
  for (const text of report.notTried) t.comment(`not tried: ${text}`)
  // Their names are what a shortened output still has.
  for (const text of report.why) t.fail(`violated: ${oneLine(text)}`)
  t.strictSame(report.why, [], 'nothing was violated')
  t.equal(report.violations, 0, `${report.violations} violations`)
  t.equal(code, 0, 'exit code')
  t.ok(ok > 100, `${ok} operations were answered`)
  t.ok(events > 100, `watchers were told of ${events} entries`)
  t.ok(Object.keys(faults).length > 3, 'faults of several kinds')
  const agents = Object.keys(report.resources).filter(name => name.startsWith('agent of '))
  t.equal(agents.length, nodes, 'memory and files of each agent are told')
})

/** The command as users have it. */
function run(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const tsx = join(ROOT, 'node_modules/tsx/dist/loader.mjs')
  const child = spawn(
    process.execPath,
    ['--import', tsx, join(ROOT, 'scripts/faults.ts'), ...args],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  let output = ''
  child.stdout.setEncoding('utf8')
  child.stdout.on('data', (text: string) => {
    output += text
  })
  t.teardown(() => child.kill())
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve({ code, output }))
  })
}
