import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { leftOf } from '../../../scripts/faults/left.ts'
import { compared, excesses, type Usage } from '../../../scripts/faults/mixed/resources.ts'
import { catches, residentBytes } from '../../../scripts/lib/processes.ts'

const FIRST: Usage = { processes: 3, residentMb: 90, files: 40 }

function named(usage: Usage): ReadonlyMap<string, Usage> {
  return new Map([['nginx of node0', usage]])
}

t.test('what a server uses in the end is compared with what it used at first', async t => {
  const after = (more: Partial<Usage>) => excesses(named(FIRST), named({ ...FIRST, ...more }))
  t.strictSame(after({ residentMb: 490, files: 104, processes: 2 }), [])
  t.strictSame(after({ residentMb: 491 }), ['the nginx of node0 has 491 residentMb, and had 90'])
  t.strictSame(after({ files: 105 }), ['the nginx of node0 has 105 files, and had 40'])
  t.strictSame(after({ processes: 4 }), ['the nginx of node0 has 4 processes, and had 3'])
  t.strictSame(excesses(new Map(), named(FIRST)), [], 'one that came later has nothing to compare')
  t.strictSame(compared(new Map(), named(FIRST)), { 'nginx of node0': [null, FIRST] })
})

t.test('the memory of a process is what the kernel says', async t => {
  const [counted, own] = [residentBytes(process.pid), process.memoryUsage.rss()]
  t.ok(Math.abs(counted - own) < own / 2, `${counted}, ${own}`)
  t.equal(residentBytes(2 ** 30), 0, 'of nobody')
})

t.test('whether a process ends at a signal is known', async t => {
  t.equal(catches(process.pid, 'SIGWINCH'), false)
  const listener = () => undefined
  process.on('SIGWINCH', listener)
  t.equal(catches(process.pid, 'SIGWINCH'), true)
  process.off('SIGWINCH', listener)
})

t.test('a process that holds a file of the run is found, until it has ended', async t => {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'left-')))
  t.teardown(() => rmSync(directory, { recursive: true }))
  t.strictSame(await leftOf(directory), [])
  const log = openSync(join(directory, 'log'), 'w')
  const child = spawn('sleep', ['600'], { stdio: ['ignore', log, 'ignore'] })
  closeSync(log)
  await once(child, 'spawn')
  t.strictSame(await leftOf(directory, 0), [`process ${child.pid} is left: sleep 600`])
  child.kill()
  await once(child, 'exit')
  t.strictSame(await leftOf(directory), [])
})
