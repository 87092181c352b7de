/** Measures restarts and snapshots of many keys: see `--help`. */

import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import http from 'node:http'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { describeMachine } from './benchmark/machine.ts'
import { agentStatus, startAgent } from './lib/agent-server.ts'
import {
  agentUrl,
  DEFAULT_SHAPE,
  type NodePlace,
  nodeOf,
  type Place,
  placeOf,
} from './lib/layout.ts'
import { down, kill, start, stop, up } from './lib/operations.ts'

const USAGE = `Three agents on this machine, without nginx, and many keys.

usage: npx tsx scripts/bench-snapshots.ts [--keys N] [--base-port P] [--seconds S]

  --keys N        default 1,000,000
  --base-port P   default 18100
  --seconds S     how long writes are measured before the snapshot (default 20)

How long until a restarted follower is ready, stopped cleanly and by kill -9; and what the writes of 16 clients take
while the leader builds a snapshot of everything and sends it to a follower that was away, beside what they took before.
`

const PAIRS = 1_000
const FILLERS = 4
const WRITERS = 16
const VALUE = 'v'.repeat(100)
/** Few entries are kept, so that a follower is soon behind. */
const SETTINGS = {
  snapshot: { snapshot_interval_sec: 2, snapshot_threshold: 500 },
  log: { trailing_logs: 500 },
}

const agent = new http.Agent({ keepAlive: true })

interface Latencies {
  readonly ms: readonly number[]
  readonly errors: number
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      keys: { type: 'string', default: '1000000' },
      'base-port': { type: 'string', default: '18100' },
      seconds: { type: 'string', default: '20' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'bench-snapshots-')))
  const basePort = Number(values['base-port'])
  const place = placeOf(directory, { ...DEFAULT_SHAPE, basePort, nginx: false })
  try {
    console.log(JSON.stringify({ ...describeMachine(directory), load: loadavg() }))
    await up(place, { settings: SETTINGS })
    await measure(place, Number(values.keys), Number(values.seconds))
    return 0
  } finally {
    agent.destroy()
    await down(directory)
    rmSync(directory, { recursive: true, force: true })
  }
}

async function measure(place: Place, keys: number, seconds: number): Promise<void> {
  const leader = await leaderOf(place)
  const [follower] = place.nodes.filter(({ id }) => id !== leader.id)
  if (follower === undefined) throw new Error('nobody follows')
  await fill(leader, keys)
  await level(place)
  for (const [how, end] of [
    ['stopped', stop],
    ['killed', kill],
  ] as const) {
    await end(follower)
    const began = performance.now()
    await start(place, follower)
    console.log(`${how}, ready again after ${(performance.now() - began).toFixed(0)} ms`)
  }
  const writing = new Writing(leader)
  await sleep(seconds * 1_000)
  console.log(textOf('before', writing.take()))
  await kill(follower)
  const { lastIndex } = await logOf(leader)
  await until(async () => (await logOf(leader)).firstIndex > lastIndex + 1)
  console.log(textOf('with two of three', writing.take()))
  const began = performance.now()
  // It may take longer than a start is waited for.
  await startAgent(follower)
  await until(async () => (await installs(follower)) > 0)
  const took = performance.now() - began
  console.log(
    textOf(
      `while a snapshot was built, sent and installed (${took.toFixed(0)} ms)`,
      writing.take(),
    ),
  )
  await writing.stop()
}

/** Clients that write one key after the other, for as long as it takes. */
class Writing {
  readonly #writers: Promise<void>[]
  #going = true
  #ms: number[] = []
  #errors = 0

  constructor(node: NodePlace) {
    this.#writers = Array.from({ length: WRITERS }, (_, at) => this.#write(node, at))
  }

  /** Since the last time. */
  take(): Latencies {
    const taken = { ms: this.#ms, errors: this.#errors }
    this.#ms = []
    this.#errors = 0
    return taken
  }

  async stop(): Promise<void> {
    this.#going = false
    await Promise.all(this.#writers)
  }

  async #write(node: NodePlace, at: number): Promise<void> {
    for (let count = 0; this.#going; count++) {
      const began = performance.now()
      const status = await post(node, { [`w${at}-${count % 1_000}`]: VALUE })
      if (status === 200) this.#ms.push(performance.now() - began)
      else this.#errors++
    }
  }
}

async function fill(leader: NodePlace, keys: number): Promise<void> {
  let next = 0
  const filler = async () => {
    while (next < keys) {
      const first = next
      next += PAIRS
      const names = Array.from(
        { length: Math.min(PAIRS, keys - first) },
        (_, at) => `key-${first + at}`,
      )
      const status = await post(leader, Object.fromEntries(names.map(name => [name, VALUE])))
      if (status !== 200) throw new Error(`filling: ${status}`)
    }
  }
  const began = performance.now()
  await Promise.all(Array.from({ length: FILLERS }, filler))
  console.log(`${keys} keys in ${((performance.now() - began) / 1_000).toFixed(0)} s`)
}

function post(node: NodePlace, pairs: Readonly<Record<string, string>>): Promise<number> {
  return new Promise(resolve => {
    const request = http.request(`${agentUrl(node)}/key`, { method: 'POST', agent }, response => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0))
    })
    request.on('error', () => resolve(0))
    request.end(JSON.stringify(pairs))
  })
}

async function leaderOf(place: Place): Promise<NodePlace> {
  let id = ''
  await until(async () => {
    const [first] = place.nodes
    id = (first && (await agentStatus(first)))?.leader.id ?? ''
    return id !== ''
  })
  return nodeOf(place, id)
}

async function level(place: Place): Promise<void> {
  await until(async () => {
    const all = await Promise.all(place.nodes.map(agentStatus))
    return new Set(all.map(status => status?.chain.hash)).size === 1
  })
}

async function logOf(node: NodePlace): Promise<{ firstIndex: number; lastIndex: number }> {
  return (await (await fetch(`${agentUrl(node)}/status`)).json()) as never
}

async function installs(node: NodePlace): Promise<number> {
  const answer = await fetch(`${agentUrl(node)}/metrics`).catch(() => null)
  const text = (await answer?.text()) ?? ''
  return Number(/^raft_nginx_snapshots_installed_total (\d+)$/m.exec(text)?.[1] ?? 0)
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(50)
}

function textOf(what: string, { ms, errors }: Latencies): string {
  const sorted = [...ms].sort((a, b) => a - b)
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
  const [p50, p99, max] = [at(0.5), at(0.99), at(1)].map(value => (value ?? Number.NaN).toFixed(1))
  return `writes ${what}: ${ms.length}, p50 ${p50} ms, p99 ${p99} ms, longest ${max} ms, ${errors} refused`
}

process.exitCode = await main()
