/** Full load for long, and whether an election was held that nobody needed: see `USAGE`. */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { killAllServers } from './benchmark/child-process.ts'
import { LoadProcess } from './benchmark/load-process.ts'
import { describeMachine, describeVersions } from './benchmark/machine.ts'
import { AgentCluster, ROOT } from './benchmark/peers/agents.ts'
import { measureSteady, type SteadyOptions } from './benchmark/scenarios/steady.ts'

const USAGE = `As many writes as three agents on this machine take, for long: throughput, the longest time without an answer, memory,
and each election, none of which anybody needed.

usage: scripts/bench steady [options]

  --minutes N        (default 60); Ctrl-C ends it earlier with what there is, a second one at once
  --json             the last line of the output is one JSON object
  --concurrency N    requests in flight (default 64)
  --value-bytes N    (default 100)
  --keys N           (default 10000)
  --data DIR         must be on a real disk (default: a new folder in .cluster/)
  --base-port N      first of 200 loopback ports (default 19700)

Exit code: 1 when there was an election, or an error.
`

const OPTIONS = {
  minutes: { type: 'string', default: '60' },
  json: { type: 'boolean', default: false },
  concurrency: { type: 'string', default: '64' },
  'value-bytes': { type: 'string', default: '100' },
  keys: { type: 'string', default: '10000' },
  data: { type: 'string' },
  'base-port': { type: 'string', default: '19700' },
  help: { type: 'boolean', short: 'h', default: false },
} as const

const load = new LoadProcess()
const stop = new AbortController()
process.exitCode = await main()
load.stop()

/** @returns the exit code */
async function main(): Promise<number> {
  const { help, json, data, ...values } = parseArgs({ options: OPTIONS }).values
  if (help) {
    console.log(USAGE)
    return 0
  }
  const options: SteadyOptions = {
    minutes: Number(values.minutes),
    concurrency: Number(values.concurrency),
    valueBytes: Number(values['value-bytes']),
    keys: Number(values.keys),
  }
  const parent = data === undefined ? join(ROOT, '.cluster') : resolve(data)
  mkdirSync(parent, { recursive: true })
  const directory = mkdtempSync(join(parent, 'bench-steady-'))
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => endSoon(directory))
  }
  try {
    return await measure(options, { directory, json, basePort: Number(values['base-port']) })
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

async function measure(
  options: SteadyOptions,
  place: { readonly directory: string; readonly json: boolean; readonly basePort: number },
): Promise<number> {
  const { directory, json, basePort } = place
  const machine = describeMachine(directory)
  const versions = describeVersions(null)
  console.log(JSON.stringify({ machine, versions, options }))
  const cluster = await AgentCluster.start({
    ...{ root: ROOT, directory, basePort, nodes: 3, learners: 0 },
    ...{ nginx: null, redirect: false, nodeArgs: [], settings: {} },
  })
  try {
    const say = (line: string) => console.log(line)
    const found = await measureSteady({ cluster, load, options, say, stop: stop.signal })
    const elections = found.termChanges.length
    console.log(
      `${found.writes} writes in ${found.minutes} min, ${elections} elections, longest gap ${found.longestGapMs} ms`,
    )
    if (json) console.log(JSON.stringify({ machine, versions, options, ...found }))
    return elections === 0 && found.errors === 0 ? 0 : 1
  } finally {
    await cluster.stop()
  }
}

function endSoon(directory: string): void {
  if (!stop.signal.aborted) {
    stop.abort()
    return
  }
  killAllServers()
  load.stop()
  rmSync(directory, { recursive: true, force: true })
  process.exit(130)
}
