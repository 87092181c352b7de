/** Measures raft-nginx beside etcd: see `--help`. */

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ROOT, startAgents } from './benchmark/agent-cluster.ts'
import { killAllServers } from './benchmark/child-process.ts'
import { type Cluster, isEtcd, type Target } from './benchmark/cluster.ts'
import { startEtcd } from './benchmark/etcd-cluster.ts'
import type { Extent, JobResult } from './benchmark/job.ts'
import { LoadProcess } from './benchmark/load-process.ts'
import { describeMachine, describeVersions, hasEtcd, isInMemory } from './benchmark/machine.ts'
import { chosenTargets, type Options, parseOptions, USAGE } from './benchmark/options.ts'
import { pointsOf } from './benchmark/plan.ts'
import { headText, jsonText, othersText, progressText, tablesText } from './benchmark/report.ts'
import { type Measurement, type Point, summarize } from './benchmark/summary.ts'

const STATE = join(ROOT, '.cluster')
const ETCD_PORT_OFFSET = 50
const COMPARED_PORT_OFFSET = 70
const PREPARE_CONCURRENCY = 64
const PREPARE_MS = 2_000
const WARM_UP_SHARE = 0.25

type Measure = (point: Point, extent: Extent) => Promise<JobResult>

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
    await bench(options, makeDataFolder(options))
    return 0
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    return 1
  } finally {
    removeDataFolder(options)
  }
}

async function bench(options: Options, directory: string): Promise<void> {
  const targets = chosenTargets(options, hasEtcd())
  const machine = describeMachine(directory)
  const startedAt = new Date().toISOString()
  const head = { startedAt, machine, versions: describeVersions(), options }
  console.log(`${headText(head)}\n`)
  if (isInMemory(machine))
    console.error('The data folder is in memory: fsync is free, figures mean nothing.')
  const clusters = await startClusters(options, targets, directory)
  try {
    const measurements = await measureAll(options, targets, clusters)
    const results = summarize(measurements)
    console.log(`\n${othersText(measurements)}\n\n${tablesText(results)}`)
    if (options.json !== null) {
      writeFileSync(options.json, jsonText({ ...head, measurements, results }))
    }
  } finally {
    await Promise.all([...new Set(clusters.values())].map(cluster => cluster.stop()))
  }
}

/** Those that the targets need; what has started is stopped when another one fails. */
async function startClusters(
  options: Options,
  targets: readonly Target[],
  directory: string,
): Promise<Map<Target, Cluster>> {
  const clusters = new Map<Target, Cluster>()
  const { basePort, compare, nodeArgs } = options
  const start = async (served: readonly Target[], starting: () => Promise<Cluster>) => {
    if (served.length === 0) return
    const cluster = await starting()
    for (const target of served) clusters.set(target, cluster)
  }
  const ours = targets.filter(target => !isEtcd(target) && target !== 'compared')
  const withGateways = ours.some(target => target.startsWith('gateway'))
  const compared = targets.filter(target => target === 'compared')
  try {
    await start(targets.filter(isEtcd), () =>
      startEtcd(join(directory, 'etcd'), basePort + ETCD_PORT_OFFSET),
    )
    await start(ours, () => {
      const folder = join(directory, 'raft-nginx')
      return startAgents({ root: ROOT, directory: folder, basePort, withGateways, nodeArgs })
    })
    await start(compared, () => {
      const folder = join(directory, 'compared')
      const place = { root: compare ?? ROOT, basePort: basePort + COMPARED_PORT_OFFSET }
      return startAgents({ ...place, directory: folder, withGateways: false, nodeArgs })
    })
  } catch (error) {
    for (const cluster of new Set(clusters.values())) await cluster.stop()
    throw error
  }
  return clusters
}

/** Every key exists, and what compiles while it runs has been compiled. */
async function prepare(options: Options, target: Target, measure: Measure): Promise<void> {
  const point = { load: 'writes', concurrency: PREPARE_CONCURRENCY, target } as const
  const { errors, firstError } = await measure(point, { kind: 'each-key-once' })
  if (errors > 0)
    throw new Error(`${target}: writing each key once: ${errors} errors: ${firstError}`)
  for (const load of options.loads) {
    await measure({ ...point, load }, { kind: 'timed', warmUpMs: 0, measureMs: PREPARE_MS })
  }
}

async function measureAll(
  options: Options,
  targets: readonly Target[],
  clusters: ReadonlyMap<Target, Cluster>,
): Promise<Measurement[]> {
  const measure: Measure = (point, extent) => measurePoint(options, clusters, { point, extent })
  for (const target of targets) await prepare(options, target, measure)
  const measureMs = options.seconds * 1000
  const extent = { kind: 'timed', warmUpMs: measureMs * WARM_UP_SHARE, measureMs } as const
  const measurements: Measurement[] = []
  for (let repetition = 0; repetition < options.repetitions; repetition += 1) {
    for (const point of pointsOf(options, targets, repetition)) {
      const measurement = { ...point, repetition, result: await measure(point, extent) }
      measurements.push(measurement)
      console.log(progressText(measurement))
    }
  }
  return measurements
}

async function measurePoint(
  options: Options,
  clusters: ReadonlyMap<Target, Cluster>,
  { point, extent }: { readonly point: Point; readonly extent: Extent },
): Promise<JobResult> {
  const aim = await clusters.get(point.target)?.aimAt(point.target)
  if (aim === undefined) throw new RangeError(`no cluster for ${point.target}`)
  // what the one before left in the page cache is not this one's to flush
  spawnSync('sync')
  const { keys, valueBytes } = options
  return load.run({ ...aim, ...point, extent, keys, valueBytes })
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
