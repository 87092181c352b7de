import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { commandLine, runningPid } from '../../../scripts/lib/processes.ts'

/** It takes its own command line away, as the kernel does while one program becomes another. */
const NAMELESS = "process.title = ''; console.log('so it is'); setInterval(() => undefined, 1000)"

t.test('a server that is just becoming its program runs: nobody starts a second one', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'processes-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const pidFile = join(directory, 'pid')
  const server = { pidFile, mark: 'main.js --config a.json' }
  t.equal(runningPid(server), null, 'without a file')
  const child = spawn(process.execPath, ['-e', NAMELESS], { stdio: ['ignore', 'pipe', 'ignore'] })
  await once(child.stdout, 'data')
  writeFileSync(pidFile, `${child.pid}\n`)
  t.equal(commandLine(child.pid ?? 0), '')
  t.equal(runningPid(server), child.pid)
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.equal(runningPid(server), null, 'and once it has ended')
})

t.test('a pid that somebody else has is not taken for it', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'processes-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const pidFile = join(directory, 'pid')
  writeFileSync(pidFile, `${process.pid}\n`)
  t.equal(runningPid({ pidFile, mark: 'main.js --config a.json' }), null)
})
