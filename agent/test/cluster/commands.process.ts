/** The scripts as a user calls them. Run by itself: `npx tsx agent/test/cluster/commands.process.ts`. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { DEFAULT_SHAPE, ROOT } from '../../../scripts/lib/layout.ts'
import { down } from '../../../scripts/lib/operations.ts'
import { commandLine, processesUsing } from '../../../scripts/lib/processes.ts'
import { Client } from './client.ts'
import { freeBasePort, temporaryDirectory, until } from './harness.ts'

t.setTimeout(300_000)

interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function cluster(...args: string[]): Ran {
  const { status, stdout, stderr } = spawnSync(join(ROOT, 'scripts/cluster'), args, {
    encoding: 'utf8',
  })
  return { code: status, stdout, stderr }
}

/** Where a test's cluster may be; ended with the test. */
async function ground(t: Test, below = ''): Promise<{ data: string; basePort: number }> {
  const data = join(temporaryDirectory(t), below)
  mkdirSync(data, { recursive: true })
  t.teardown(() => down(data))
  return { data, basePort: await freeBasePort(DEFAULT_SHAPE) }
}

t.test('a life: up, status, each command on a node, down, and up again with the data', async t => {
  const { data, basePort } = await ground(t)
  const on = ['--data', data]
  const begun = cluster('up', ...on, '--base-port', String(basePort))
  t.equal(begun.code, 0, begun.stderr)
  t.match(begun.stdout, /^ready/)
  const again = cluster('up', ...on)
  t.equal(again.code, 0)
  t.match(again.stdout, /runs already/)
  const view = JSON.parse(cluster('status', ...on, '--json').stdout)
  t.match(view, { leader: /^node[0-2]$/, nodes: [{ id: 'node0', agent: 'running', ready: true }] })

  const gateway = new Client(`http://127.0.0.1:${basePort}`)
  t.teardown(() => gateway.close())
  t.equal((await gateway.write({ user1: 'batman' })).status, 200)
  const steps: readonly (readonly [string, RegExp, string])[] = [
    ['pause', /is paused/, 'paused'],
    ['resume', /goes on/, 'running'],
    ['kill', /is killed/, 'stopped'],
    ['start', /is ready/, 'running'],
    ['start', /runs already/, 'running'],
    ['stop', /is stopped/, 'stopped'],
    ['stop', /did not run/, 'stopped'],
    ['start', /is ready/, 'running'],
    ['reload-nginx', /is reloaded/, 'running'],
    ['kill-nginx', /is killed/, 'running'],
    ['start-nginx', /runs/, 'running'],
    ['pause', /is paused/, 'paused'],
  ]
  for (const [command, says, state] of steps) {
    const ran = cluster(command, 'node1', ...on)
    t.equal(ran.code, 0, `${command} ${ran.stderr}`)
    t.match(ran.stdout, says)
    const { nodes } = JSON.parse(cluster('status', ...on, '--json').stdout)
    t.equal(nodes[1].agent, state, `${command} leaves it ${state}`)
  }

  t.match(cluster('down', ...on).stdout, /^6 processes ended/, 'the paused one too')
  t.strictSame(processesUsing(data), [], 'nothing is left')
  t.match(cluster('down', ...on).stdout, /^nothing ran/)
  t.equal(cluster('up', ...on).code, 0, 'on the same ports as before')
  await until('the data is back', async () => (await gateway.read('user1')) === 'batman')
  const other = cluster('up', ...on, '--nodes', '5')
  t.equal(other.code, 1)
  t.match(other.stderr, /holds a cluster that 3 nodes founded/)
})

t.test('a port that is taken is named, with whom, and nothing is left running', async t => {
  const { data, basePort } = await ground(t)
  const server = createServer().listen(basePort + 185, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  // not spawnSync: this process holds the port and has to accept
  const child = spawn(join(ROOT, 'scripts/cluster'), [
    ...['up', '--data', data, '--base-port', String(basePort)],
  ])
  const [output, code] = await Promise.all([outputOf(child), exitOf(child)])
  t.equal(code, 1)
  t.match(output(), `port ${basePort + 185} (agent of node1) is taken by process ${process.pid}`)
  t.strictSame(processesUsing(data).map(commandLine), [])
})

t.test('bad usage is exit code 2 and says what', async t => {
  const wrong: readonly (readonly [string[], RegExp])[] = [
    [[], /a command is missing/],
    [['add'], /add needs a node/],
    [['kill', 'node0', '--edge'], /--edge belongs to add/],
    [['fly'], /there is no command fly/],
    [['kill'], /kill needs a node/],
    [['up', '--nodes', '0'], /--nodes must be a number from 1 to 9/],
    [['up', '--write-mode', 'guess'], /--write-mode must be proxy or redirect/],
    [['up', '--sideways'], /sideways/],
  ]
  const data = temporaryDirectory(t)
  for (const [args, says] of wrong) {
    const ran = cluster(...args, '--data', data)
    t.equal(ran.code, 2, args.join(' '))
    t.match(ran.stderr, says)
  }
  const none = cluster('status', '--data', data)
  t.equal(none.code, 1)
  t.match(none.stderr, /no cluster in/)
  t.equal(cluster('--help').code, 0)
})

t.test('run: in the foreground until Ctrl-C, with the data of the last time', async t => {
  const { data, basePort } = await ground(t)
  const gateway = new Client(`http://127.0.0.1:${basePort}`)
  t.teardown(() => gateway.close())
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const child = spawn(
      join(ROOT, 'scripts/run'),
      ['--data', data, '--base-port', String(basePort)],
      { detached: true },
    )
    const output = await outputOf(child)
    await until('it is ready', () => output().includes('raft-nginx is ready') || ended(child))
    t.match(output(), `curl localhost:${basePort}/key/user1`)
    if (signal === 'SIGTERM') {
      await until('the data is back', async () => (await gateway.read('user1')) === 'batman')
    } else t.equal((await gateway.write({ user1: 'batman' })).status, 200)
    // as a terminal does: to the whole group
    process.kill(-(child.pid ?? 0), signal)
    t.equal(await exitOf(child), 0, output())
    t.strictSame(processesUsing(data), [], `${signal} leaves nothing running`)
  }
})

t.test('a directory whose path is too long for a socket', async t => {
  const { data, basePort } = await ground(t, 'long'.repeat(30))
  const ran = cluster('up', '--data', data, '--base-port', String(basePort), '--nodes', '1')
  t.equal(ran.code, 0, ran.stderr)
  const gateway = new Client(`http://127.0.0.1:${basePort}`)
  t.teardown(() => gateway.close())
  t.equal((await gateway.write({ a: 'b' })).status, 200)
  t.equal(cluster('down', '--data', data).code, 0)
})

function ended(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  await until('it ends', () => ended(child))
  return child.exitCode
}

/** What it has printed so far. */
async function outputOf(child: ChildProcess): Promise<() => string> {
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8')
    stream?.on('data', (more: string) => {
      text += more
    })
  }
  return () => text
}

t.test('set-up leaves alone what a node_modules that is a link leads to', async t => {
  const checkout = temporaryDirectory(t)
  const [scripts, elsewhere] = [join(checkout, 'scripts'), join(checkout, 'elsewhere')]
  mkdirSync(scripts)
  mkdirSync(elsewhere)
  for (const name of ['package.json', 'package-lock.json', 'scripts/setup.sh']) {
    copyFileSync(join(ROOT, name), join(checkout, name))
  }
  writeFileSync(join(elsewhere, 'theirs'), '')
  symlinkSync(elsewhere, join(checkout, 'node_modules'))
  const { status, stderr } = spawnSync(join(scripts, 'setup.sh'), { encoding: 'utf8' })
  t.equal(status, 1)
  t.match(stderr, /node_modules is a link/)
  t.ok(existsSync(join(elsewhere, 'theirs')))
})
