/** Measures raft-nginx beside other stores: see `--help`. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { killAllServers } from './benchmark/child-process.ts'
import type { Run } from './benchmark/findings.ts'
import { LoadProcess } from './benchmark/load-process.ts'
import { describeMachine, describeVersions, isInMemory } from './benchmark/machine.ts'
import { type Options, parseOptions, USAGE } from './benchmark/options.ts'
import { ROOT } from './benchmark/peers/agents.ts'
import { startPeers } from './benchmark/peers/clusters.ts'
import { writeDocs } from './benchmark/report/docs.ts'
import { reportOf } from './benchmark/report/json.ts'
import {
  goalsText,
  headText,
  othersText,
  scenariosText,
  tablesText,
} from './benchmark/report/tables.ts'
import { measureLoads } from './benchmark/run.ts'
import { measureBesideLoads, measureOtherShapes } from './benchmark/scenarios/scenarios.ts'
import { summarize, summarizeScenarios } from './benchmark/summary.ts'

const COMMAND = ['scripts/bench', ...process.argv.slice(2)].map(word => word || '""').join(' ')
const STATE = join(ROOT, '.cluster')

const load = new LoadProcess()
let dataFolder: string | null = null

process.exitCode = await main(process.argv.slice(2))
load.stop()

/** @returns the exit code */
async function main(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(args)
  if (parsed.kind === 'refused') {
    console.error(`${parsed.reason}\n\n${USAGE}`)
    return 2
  }
  if (parsed.kind === 'help') {
    console.log(USAGE)
    return 0
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, endAtOnce)
  const { options } = parsed
  try {
    const run = await bench(options, makeDataFolder(options))
    show(run)
    return run.failed.length === 0 ? 0 : 1
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    return 1
  } finally {
    removeDataFolder(options)
  }
}

async function bench(options: Options, directory: string): Promise<Run> {
  const machine = describeMachine(directory)
  const startedAt = new Date().toISOString()
  if (isInMemory(machine))
    console.error('The data folder is in memory: fsync is free, figures mean nothing.')
  const say = (line: string) => console.log(line)
  const peers = await startPeers(options, directory)
  let run: Run
  try {
    const { skipped } = peers
    const versions = { ...describeVersions(peers.nginx?.program ?? null), ...peers.versions }
    const head = { startedAt, command: COMMAND, machine, versions, options, skipped }
    console.log(`${headText(head)}\n`)
    for (const { what, reason } of skipped) console.log(`skipped: ${what}: ${reason}`)
    const measurements = await measureLoads({ options, peers, load, say })
    const loaded = { options, peers, load, say, directory, measurements }
    run = { ...head, measurements, ...(await measureBesideLoads(loaded)) }
  } finally {
    await peers.stop()
  }
  const { samples, failed } = await measureOtherShapes({ options, directory, load, say })
  return {
    ...run,
    samples: [...run.samples, ...samples],
    failed: [...run.failed, ...failed],
  }
}

function show(run: Run): void {
  const { options, measurements, samples } = run
  const report = reportOf(run)
  console.log(`\n${othersText(measurements)}\n\n${tablesText(summarize(measurements))}`)
  console.log(`${scenariosText(summarizeScenarios(samples))}\n${goalsText(report.goals)}`)
  if (options.output !== null) {
    writeFileSync(options.output, `${JSON.stringify({ ...report, ...run }, null, 2)}\n`)
  }
  if (options.writeDocs) writeDocs(run, join(ROOT, 'agent/docs'))
  if (options.json) console.log(JSON.stringify(report))
}

function makeDataFolder({ data }: Options): string {
  const parent = data === null ? STATE : resolve(data)
  mkdirSync(parent, { recursive: true })
  dataFolder = mkdtempSync(join(parent, 'bench-'))
  return dataFolder
}

function removeDataFolder({ nodeArgs }: Options): void {
  if (dataFolder === null) return
  if (nodeArgs.length > 0) console.log(`data: ${dataFolder}`)
  else rmSync(dataFolder, { recursive: true, force: true })
}

function endAtOnce(): void {
  killAllServers()
  load.stop()
  if (dataFolder !== null) rmSync(dataFolder, { recursive: true, force: true })
  process.exit(130)
}
