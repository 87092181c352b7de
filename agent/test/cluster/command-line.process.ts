/** `raft-nginx` as a user types it, against a cluster of its own. Run by itself: `npx tsx agent/test/cluster/command-line.process.ts`. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { DEFAULT_SHAPE, ROOT } from '../../../scripts/lib/layout.ts'
import { processesUsing } from '../../../scripts/lib/processes.ts'
import { freeBasePort, temporaryDirectory, until } from './harness.ts'

t.setTimeout(180_000)

const PROGRAM = join(ROOT, 'agent/dist/cli/raft-nginx.js')

interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface Dev {
  readonly child: ChildProcess
  /** `host:port` of each agent */
  readonly agents: readonly string[]
  output(): string
  run(args: readonly string[], input?: string): Ran
}

/** @param directory where it keeps its data */
async function startDev(t: Test, directory: string, more: readonly string[] = []): Promise<Dev> {
  const basePort = await freeBasePort(DEFAULT_SHAPE)
  const args = ['dev', '--base-port', String(basePort), '--data', directory, ...more]
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
  }
  const agents = [185, 285, 385].map(offset => `127.0.0.1:${basePort + offset - 100}`)
  const env = { ...process.env, RAFT_NGINX_ENDPOINT: agents.join(',') }
  return {
    child,
    agents,
    output: () => text,
    run(args, input = '') {
      const ran = spawnSync(process.execPath, [PROGRAM, ...args], { encoding: 'utf8', env, input })
      return { code: ran.status, stdout: ran.stdout, stderr: ran.stderr }
    },
  }
}

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return child.exitCode
}

t.test('dev: a cluster to try the commands on, until Ctrl-C', async t => {
  const directory = temporaryDirectory(t)
  const { child, agents, output, run } = await startDev(t, directory)
  await until('it is ready', () => output().includes('agents are ready') || child.exitCode !== null)
  t.match(output(), '3 agents are ready')

  for (const [at, agent] of agents.entries()) {
    const on = ['-e', agent]
    t.equal(run([...on, 'kv', 'put', `app/${at}`, `value ${at}`]).code, 0, 'leader or not')
    for (const other of agents) {
      t.equal(run(['-e', other, 'kv', 'get', `app/${at}`]).stdout, `value ${at}`)
    }
  }
  t.equal(run(['kv', 'put', 'stdin'], 'line\n').code, 0)
  t.equal(run(['kv', 'get', 'stdin']).stdout, 'line\n')
  t.strictSame(run(['kv', 'list', 'app/']).stdout, 'app/0\napp/1\napp/2\n')
  const row = JSON.parse(run(['--json', 'kv', 'get', 'app/1']).stdout)
  t.match(row, { key: 'app/1', value: 'value 1', modifyIndex: Number })
  const index = String(row.modifyIndex)
  t.equal(run(['kv', 'put', 'app/1', 'newer', '--cas', index]).code, 0)
  t.equal(run(['kv', 'put', 'app/1', 'lost', '--cas', index]).code, 1)
  t.equal(run(['kv', 'put', 'app/1', 'lost', '--cas', '0']).code, 1)
  t.equal(run(['kv', 'get', 'app/1']).stdout, 'newer')
  t.equal(run(['kv', 'delete', 'app/1']).code, 0)
  t.match(run(['kv', 'get', 'app/1']), { code: 1, stderr: /there is no key "app\/1"/ })
  t.match(run(['kv', 'put', 'a/../b', 'x']), { code: 1, stderr: /segment/ })

  const leader: string = JSON.parse(run(['--json', 'status']).stdout).leader
  t.match(run(['status']).stdout, new RegExp(`leader ${leader}[^]*${leader} +leader `))
  const next = leader === 'node0' ? 'node1' : 'node0'
  t.strictSame(run(['transfer', next]), { code: 0, stdout: `${next} leads\n`, stderr: '' })
  t.equal(JSON.parse(run(['--json', 'status']).stdout).leader, next)
  t.match(run(['add', 'node7', '127.0.0.1:9', '--edge']).stdout, /^node7 +edge/m)
  t.match(run(['remove', 'node7']), { code: 0, stdout: /^node0 +voter/m })
  t.notMatch(run(['members']).stdout, 'node7')
  t.equal(run(['transfer', 'node7']).code, 1)

  t.equal(run(['-e', '127.0.0.1:1', 'status']).code, 3)
  child.kill('SIGINT')
  t.equal(await ended(child), 0, output())
  t.match(output(), /stopped\n$/)
  t.strictSame(processesUsing(directory), [], 'nothing is left')
  t.match(run(['kv', 'get', 'app/0']), { code: 3, stderr: /nobody listens there/ })
})

t.test('dev: an agent that cannot start, or that dies, ends it all in words', async t => {
  const directory = temporaryDirectory(t)
  const one = await startDev(t, directory, ['--nodes', '1'])
  await until('it is ready', () => one.output().includes('ready') || one.child.exitCode !== null)
  t.match(one.output(), '1 agents are ready')
  const [agent] = processesUsing(join(directory, 'node0'))
  process.kill(agent ?? 0, 'SIGKILL')
  t.equal(await ended(one.child), 1)
  t.match(one.output(), /node0 has ended/)

  const elsewhere = temporaryDirectory(t)
  const holder = createServer()
  const basePort = await freeBasePort(DEFAULT_SHAPE)
  holder.listen(basePort + 85, '127.0.0.1')
  await once(holder, 'listening')
  t.teardown(() => holder.close())
  const args = ['dev', '--nodes', '1', '--base-port', String(basePort), '--data', elsewhere]
  const taken = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  taken.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  t.equal(await ended(taken), 1)
  t.match(text, /node0 has ended: cannot start: .*EADDRINUSE/)
  t.strictSame(processesUsing(elsewhere), [])
})
