import { type ChildProcess, spawn } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Surroundings } from './context.ts'
import { ask, parseEndpoint } from './endpoint.ts'
import { failed } from './exit.ts'

export interface DevOptions {
  readonly nodes: number
  /** node k has HTTP at this + 100 k + 85, Raft one above */
  readonly basePort: number
  /** null: in memory */
  readonly data: string | null
}

interface DevNode {
  readonly id: string
  readonly http: string
  readonly raft: string
  readonly configFile: string
  readonly logFile: string
}

const MAIN = fileURLToPath(new URL(`../main${extname(import.meta.url)}`, import.meta.url))
const READY_MS = 20_000
const POLL_MS = 100
/** An agent's own limit for a clean stop is shorter. */
const STOP_MS = 4_000

/** Runs a cluster of agents on this machine until Ctrl-C; without nginx. */
export async function dev(surroundings: Surroundings, options: DevOptions): Promise<void> {
  const interrupted = surroundings.interrupt()
  const directory =
    options.data === null ? mkdtempSync(join(tmpdir(), 'raft-nginx-dev-')) : resolve(options.data)
  const nodes = prepare(directory, options)
  const children: ChildProcess[] = []
  try {
    for (const node of nodes) children.push(start(node))
    await ready(nodes, children, interrupted)
    if (!interrupted.aborted) surroundings.stdout.write(welcome(nodes, options, directory))
    while (!interrupted.aborted) {
      alive(nodes, children)
      await sleep(POLL_MS)
    }
  } finally {
    await Promise.all(children.map(stop))
    if (options.data === null) rmSync(directory, { recursive: true, force: true })
  }
  surroundings.stdout.write('stopped\n')
}

function prepare(directory: string, { nodes, basePort, data }: DevOptions): readonly DevNode[] {
  const all = Array.from({ length: nodes }, (_, at): DevNode => {
    const id = `node${at}`
    const port = basePort + 100 * at
    const file = (name: string) => join(directory, id, name)
    return {
      id,
      http: `127.0.0.1:${port + 85}`,
      raft: `127.0.0.1:${port + 86}`,
      configFile: file('agent.json'),
      logFile: file('agent.log'),
    }
  })
  for (const { id, configFile } of all) {
    mkdirSync(join(directory, id), { recursive: true })
    const settings = {
      node_id: id,
      nodes: all.map(({ id, http, raft }) => ({ id, address: http, raft_bind: raft })),
      raft_dir: 'data',
      in_memory: data === null,
    }
    writeFileSync(configFile, `${JSON.stringify(settings, null, 2)}\n`)
  }
  return all
}

function start({ configFile, logFile }: DevNode): ChildProcess {
  const log = openSync(logFile, 'a')
  const args = [...process.execArgv, MAIN, '--config', configFile]
  // A group of its own: Ctrl-C of the terminal is for this process, which stops them in order.
  const child = spawn(process.execPath, args, { stdio: ['ignore', log, log], detached: true })
  closeSync(log)
  return child
}

/** @throws CommandError when one ends, or is not ready in time */
async function ready(
  nodes: readonly DevNode[],
  children: readonly ChildProcess[],
  interrupted: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + READY_MS
  for (const node of nodes) {
    while (!interrupted.aborted && !(await serves(node))) {
      alive(nodes, children)
      if (performance.now() > deadline) throw failed(`${node.id} is not ready: see ${node.logFile}`)
      await sleep(POLL_MS)
    }
  }
}

async function serves({ http }: DevNode): Promise<boolean> {
  try {
    const answer = await ask(parseEndpoint(http), { method: 'GET', path: '/readyz' }, 1000)
    return answer.status === 200
  } catch {
    return false
  }
}

function alive(nodes: readonly DevNode[], children: readonly ChildProcess[]): void {
  const at = children.findIndex(hasEnded)
  const node = nodes[at]
  if (node !== undefined) throw failed(`${node.id} has ended: ${lastWords(node)}`)
}

/** The last line of its log: JSON with a message, as a rule. */
function lastWords({ logFile }: DevNode): string {
  const line = readFileSync(logFile, 'utf8').trim().split('\n').at(-1) ?? ''
  try {
    return String((JSON.parse(line) as { msg?: unknown }).msg ?? line)
  } catch {
    return line
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return
  const ended = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGTERM')
  const cut = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await ended
  clearTimeout(cut)
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}

function welcome(nodes: readonly DevNode[], { data }: DevOptions, directory: string): string {
  const list = nodes.map(({ id, http, raft }) => `  ${id}  http://${http}  raft ${raft}`)
  const first = nodes[0]?.http ?? ''
  const last = nodes.at(-1)?.http ?? ''
  const endpoints = nodes.map(({ http }) => http).join(',')
  return `${nodes.length} agents are ready, without nginx (scripts/run starts gateways too).

${list.join('\n')}
  data  ${data === null ? 'in memory: gone at the end' : directory}

Try, in another terminal:

  export RAFT_NGINX_ENDPOINT=${endpoints}
  raft-nginx kv put user1 batman
  raft-nginx --endpoint ${last} kv get user1
  raft-nginx status
  curl http://${first}/key/user1

Ctrl-C stops all of it.
`
}
