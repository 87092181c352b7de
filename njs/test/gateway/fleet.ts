/** One real nginx, rendered and started as an operator would, in front of three mock agents. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { main } from '../../../agent/src/gateway/render-main.ts'
import { MockAgent } from './mock-agent.ts'

/** The machine's own, or that of another Debian: see scripts/lib/matrix.ts. */
export const NGINX =
  process.env.GATEWAY_TEST_NGINX ?? (existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx')

/** GATEWAY_TEST_ENGINE=qjs: QuickJS. */
const PORTS = { first: 31_100, count: 540 }
export const ENGINE = ['--js-engine', process.env.GATEWAY_TEST_ENGINE ?? 'njs']

/** What tap's test object gives us. */
export interface Owner {
  teardown(end: () => unknown): void
}

export interface Fleet {
  readonly folder: string
  readonly port: number
  readonly nginx: Nginx
  /** the gateway's own agent, reached by its unix socket */
  readonly local: MockAgent
  readonly one: MockAgent
  readonly two: MockAgent
  /** all three agree on this leader; null: none */
  elect(leader: MockAgent | null): void
  /** arrivals at all agents together */
  arrived(): number
  /** renders again, with a reload */
  render(...args: string[]): Promise<number>
}

export const GATEWAYS = {
  node0: 'http://gateway0.example',
  node1: 'https://gateway1.example:8443/',
  node2: 'http://gateway2.example',
} as const

/** @param args added to the renderer's command line */
export async function startFleet(t: Owner, ...args: string[]): Promise<Fleet> {
  const folder = temporaryFolder(t)
  const agent = async (id: string) => {
    const started = await MockAgent.start(id, path.join(folder, `${id}.sock`))
    t.teardown(() => started.stop())
    return started
  }
  const local = await agent('node0')
  const one = await agent('node1')
  const two = await agent('node2')
  const agents = [local, one, two]
  const nodes = agents.map(({ belief, address }) => ({ id: belief.me.id, address }))
  const server = { socket: path.join(folder, 'node0.sock') }
  writeFileSync(
    path.join(folder, 'agent.json'),
    JSON.stringify({ node_id: 'node0', nodes, server }),
  )
  const port = await freePort()
  const prefix = path.join(folder, 'prefix')
  const render = (...more: string[]) =>
    main([
      ...['--config', path.join(folder, 'agent.json'), '--prefix', prefix],
      ...['--listen', `127.0.0.1:${port}`, '--nginx', NGINX, ...ENGINE, ...args, ...more],
    ])
  if ((await render()) !== 0) throw new Error('the rendered configuration was refused')
  const nginx = await Nginx.start(prefix, port)
  t.teardown(() => nginx.stop())
  const elect = (leader: MockAgent | null) => {
    for (const each of agents) each.belief = { ...each.belief, leader: leader && leaderOf(leader) }
  }
  elect(one)
  const arrived = () => agents.reduce((sum, each) => sum + each.arrivals.length, 0)
  return { folder, port, nginx, local, one, two, elect, arrived, render }
}

export function leaderOf(agent: MockAgent): { id: string; http: string; gateway: string | null } {
  const id = agent.belief.me.id
  return {
    id,
    http: agent.address,
    gateway: new Map<string, string>(Object.entries(GATEWAYS)).get(id) ?? null,
  }
}

/** Readable by the workers of an nginx that root started, under whatever name they run. */
export function temporaryFolder(t: Owner): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'raft-gw-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export class Nginx {
  readonly prefix: string
  readonly #master: ChildProcess
  #said = ''

  private constructor(prefix: string, master: ChildProcess) {
    this.prefix = prefix
    this.#master = master
    master.stderr?.on('data', chunk => {
      this.#said += chunk
    })
  }

  static async start(prefix: string, port: number): Promise<Nginx> {
    const args = ['-p', prefix, '-c', 'nginx.conf', '-g', 'daemon off;']
    const nginx = new Nginx(prefix, spawn(NGINX, args, { stdio: ['ignore', 'ignore', 'pipe'] }))
    await until('nginx listens', async () => {
      if (nginx.#master.exitCode !== null) throw new Error(`nginx ended: ${nginx.#said}`)
      return await accepts(port)
    })
    return nginx
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    if (this.#master.exitCode !== null || this.#master.signalCode !== null) return
    const workers = this.workers()
    this.#master.kill(signal)
    await once(this.#master, 'exit')
    // Those of a master that was killed go on by themselves.
    if (signal === 'SIGKILL') for (const worker of workers) process.kill(worker, signal)
  }

  /** Processes that accept now; those of an earlier configuration that still finish their work included. */
  workers(): number[] {
    const master = this.#master.pid
    const children = readFileSync(`/proc/${master}/task/${master}/children`, 'utf8')
    return children.split(' ').filter(Boolean).map(Number)
  }

  /** Returns once no worker of the old configuration is left. */
  async reload(): Promise<void> {
    const before = this.workers()
    this.#master.kill('SIGHUP')
    await until('old workers ended', () => {
      const now = this.workers()
      return now.length > 0 && !now.some(pid => before.includes(pid))
    })
  }

  /** Lines of its error log that tell of a fault in the configuration or the scripts. */
  complaints(): string[] {
    const file = path.join(this.prefix, 'logs/error.log')
    const lines = readFileSync(file, 'utf8').split('\n')
    return lines.filter(line => /\[(alert|emerg|crit)\]|js exception|js:/.test(line))
  }
}

export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 40_000
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`never happened: ${what}`)
    await sleep(10)
  }
}

let given = 0

/**
 * Below the ports that the kernel gives to clients: whoever restarts finds its port free. Test files that run at the
 * same time draw from ranges of their own.
 */
export async function freePort(): Promise<number> {
  const { TEST_LANE = '0' } = process.env
  const first = PORTS.first + Number(TEST_LANE) * PORTS.count
  for (let attempt = 0; attempt < PORTS.count; attempt++) {
    const port = first + ((process.pid + given++) % PORTS.count)
    if (await isFree(port)) return port
  }
  throw new Error('no free port')
}

async function isFree(port: number): Promise<boolean> {
  const server = net.createServer()
  const listening = once(server, 'listening').then(
    () => true,
    () => false,
  )
  server.listen(port, '127.0.0.1')
  const free = await listening
  if (free) await new Promise(done => server.close(done))
  return free
}

function accepts(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
