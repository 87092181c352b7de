/** What a read out of nginx's own memory costs: see `USAGE`. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { Endpoint, JobResult } from './benchmark/job.ts'
import { LoadProcess } from './benchmark/load-process.ts'
import { describeMachine } from './benchmark/machine.ts'
import { agentPid } from './lib/agent-server.ts'
import { gatewayPid, hasMemory } from './lib/gateway-server.ts'
import { DEFAULT_SHAPE, gatewayUrl, type NodePlace, placeOf, ROOT } from './lib/layout.ts'
import { down, up } from './lib/operations.ts'
import { childrenOf } from './lib/processes.ts'

const USAGE = `Reads out of nginx's own memory beside a static file of the same size and a read that is passed on to the agent: the
same nginx, one worker, in the same run. Only ratios within one run count.

usage: scripts/bench edge [options]

  --concurrency N    requests in flight (default 16)
  --seconds N        measured per point, after a warm-up of a quarter of it (default 2)
  --repetitions N    of every point; their order rotates (default 5)
  --value-bytes N    (default 100)
  --keys N           (default 1000)
  --base-port N      first of 200 loopback ports (default 19200)

NGINX_PROGRAM in the environment names another nginx than the machine's own; it needs js_shared_dict_zone.
NGINX_JS_ENGINE=qjs measures QuickJS.
`

const OPTIONS = {
  concurrency: { type: 'string', default: '16' },
  seconds: { type: 'string', default: '2' },
  repetitions: { type: 'string', default: '5' },
  'value-bytes': { type: 'string', default: '100' },
  keys: { type: 'string', default: '1000' },
  'base-port': { type: 'string', default: '19200' },
  help: { type: 'boolean', short: 'h', default: false },
} as const

/** What is compared: the first is what the others are measured by. */
const KINDS = [
  { name: 'static file', query: '', files: true },
  { name: 'GET /key/<k>?stale', query: '?stale', files: false },
  { name: 'GET /key/<k>, by the agent', query: '', files: false },
] as const
type Kind = (typeof KINDS)[number]

interface Bench {
  readonly node: NodePlace
  readonly filesPort: number
  readonly keys: number
  readonly valueBytes: number
  readonly concurrency: number
  readonly seconds: number
}

const load = new LoadProcess()
process.exitCode = await main()
load.stop()

/** @returns the exit code */
async function main(): Promise<number> {
  const { help, ...values } = parseArgs({ options: OPTIONS }).values
  if (help || !hasMemory()) {
    console.log(help ? USAGE : 'this nginx has no js_shared_dict_zone: NGINX_PROGRAM names another')
    return help ? 0 : 1
  }
  mkdirSync(join(ROOT, '.cluster'), { recursive: true })
  const directory = mkdtempSync(join(ROOT, '.cluster/bench-edge-'))
  const basePort = Number(values['base-port'])
  const place = placeOf(directory, { ...DEFAULT_SHAPE, nodes: 1, basePort })
  const [node] = place.nodes
  if (node === undefined) throw new Error('a cluster of one has a node')
  const bench: Bench = {
    node,
    filesPort: basePort + 1,
    keys: Number(values.keys),
    valueBytes: Number(values['value-bytes']),
    concurrency: Number(values.concurrency),
    seconds: Number(values.seconds),
  }
  try {
    writeSite(bench)
    await up(place)
    console.log(JSON.stringify(describeMachine(directory)))
    await fill(bench)
    console.log(reportOf(await measureAll(bench, Number(values.repetitions))))
    return 0
  } finally {
    await down(directory)
    rmSync(directory, { recursive: true, force: true })
  }
}

/** A server beside the gateway's, for files. */
function writeSite({ node, filesPort }: Bench): void {
  mkdirSync(join(node.prefix, 'sites'), { recursive: true })
  const root = join(node.directory, 'files')
  const server = `server { listen 127.0.0.1:${filesPort}; root ${root}; sendfile on; default_type application/json; }\n`
  writeFileSync(join(node.prefix, 'sites/files.conf'), server)
}

/** Each key once, and a file of each answer; returns once nginx has all of them. */
async function fill(bench: Bench): Promise<void> {
  const { node, keys, valueBytes } = bench
  const extent = { kind: 'each-key-once' } as const
  const common = { dialect: 'raft-nginx', keys, valueBytes, serverPids: [] } as const
  const endpoint = endpointOf(bench, false)
  const { errors, firstError } = await load.run({
    ...common,
    load: 'writes',
    concurrency: 32,
    endpoint,
    extent,
  })
  if (errors > 0) throw new Error(`writing each key once: ${firstError}`)
  const folder = join(node.directory, 'files/key')
  mkdirSync(folder, { recursive: true })
  for (let at = 0; at < keys; at++) {
    const key = `bench-${String(at).padStart(7, '0')}`
    const answer = await fetch(`${gatewayUrl(node)}/key/${key}`)
    writeFileSync(join(folder, key), await answer.text())
  }
  for (;;) {
    const answer = await fetch(`${gatewayUrl(node)}/key/bench-0000000?stale`)
    await answer.text()
    if (answer.headers.get('x-raft-served-by') === 'nginx') return
    await sleep(50)
  }
}

async function measureAll(bench: Bench, repetitions: number): Promise<Map<Kind, JobResult[]>> {
  const results = new Map<Kind, JobResult[]>(KINDS.map(kind => [kind, []]))
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (let step = 0; step < KINDS.length; step++) {
      const kind = KINDS[(repetition + step) % KINDS.length]
      if (kind !== undefined) results.get(kind)?.push(await measure(bench, kind))
    }
  }
  return results
}

async function measure(bench: Bench, { files, query }: Kind): Promise<JobResult> {
  const { node, keys, valueBytes, concurrency, seconds } = bench
  const nginx = gatewayPid(node)
  const pids = [agentPid(node), nginx, ...(nginx === null ? [] : childrenOf(nginx))]
  const result = await load.run({
    ...{ load: 'reads', dialect: 'raft-nginx', keys, valueBytes, concurrency, query },
    endpoint: endpointOf(bench, files),
    extent: { kind: 'timed', warmUpMs: seconds * 250, measureMs: seconds * 1000 },
    serverPids: pids.flatMap(pid => pid ?? []),
  })
  if (result.errors > 0) throw new Error(`${result.errors} errors: ${result.firstError}`)
  return result
}

function endpointOf({ node, filesPort }: Bench, files: boolean): Endpoint {
  return { kind: 'tcp', host: '127.0.0.1', port: files ? filesPort : node.gatewayPort }
}

/** Medians; CPU is that of nginx and the agent together. */
function reportOf(results: ReadonlyMap<Kind, readonly JobResult[]>): string {
  const rows = KINDS.map(kind => {
    const all = results.get(kind) ?? []
    const cpu = median(all.map(({ serverCpuUs, operations }) => serverCpuUs / operations))
    const rate = median(all.map(({ operations, seconds }) => operations / seconds))
    const others = median(all.map(({ othersShare }) => othersShare))
    return { kind, cpu, rate, others, p99: median(all.map(({ p99Ms }) => p99Ms)) }
  })
  const base = rows[0]?.cpu ?? Number.NaN
  const lines = rows.map(({ kind, cpu, rate, others, p99 }) =>
    [
      kind.name.padEnd(28),
      `${rate.toFixed(0)}/s`.padStart(9),
      `${cpu.toFixed(1)} µs CPU`.padStart(14),
      `${(cpu / base).toFixed(2)} ×`.padStart(9),
      `p99 ${p99.toFixed(2)} ms`.padStart(14),
      `others ${(others * 100).toFixed(0)} %`.padStart(12),
    ].join(' '),
  )
  return lines.join('\n')
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
