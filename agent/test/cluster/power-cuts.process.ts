/** The short form of `npm run faults -- power-cut`. Run by itself: `npx tsx agent/test/cluster/power-cuts.process.ts`. */

import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { CounterReport } from '../../../scripts/faults/counter.ts'
import { ROOT } from '../../../scripts/lib/layout.ts'

t.setTimeout(240_000)

type Report = CounterReport | { readonly notRun: string }

t.test('what was acknowledged is there after power cuts of one disk, and of all', async t => {
  const { status, report } = await powerCuts('--cuts', '12')
  if ('notRun' in report) {
    t.pass('not run', { skip: report.notRun })
    return
  }
  const { why, directory, ...figures } = report
  t.comment(JSON.stringify(figures))
  t.strictSame(why, [], directory ?? '')
  t.equal(status, 0)
  t.ok(report.cuts >= 12)
  t.ok(report.acknowledged > 50, 'clients were answered')
})

t.test('agents that do not wait for their disks are found out', async t => {
  const { status, report } = await powerCuts('--cuts', '6', '--nodes', '1', '--planted')
  if ('notRun' in report) {
    t.pass('not run', { skip: report.notRun })
    return
  }
  t.equal(status, 1)
  t.ok(report.violations > 0)
  t.match(report.directory, /faults-/, 'and the files are kept')
  if (report.directory !== null) rmSync(report.directory, { recursive: true, force: true })
})

async function powerCuts(...args: readonly string[]): Promise<{ status: number; report: Report }> {
  const loader = join(ROOT, 'node_modules/tsx/dist/loader.mjs')
  const script = join(ROOT, 'scripts/faults.ts')
  const command = ['--import', loader, script, 'power-cut', '--json', ...args]
  const child = spawn(process.execPath, command, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<number>(resolve => child.once('exit', code => resolve(code ?? -1)))
  const [stdout, stderr, status] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    ended,
  ])
  const last = stdout.trimEnd().split('\n').at(-1) ?? ''
  if (last === '') throw new Error(`no report: ${stderr}`)
  return { status, report: JSON.parse(last) as Report }
}
