/** Clients of a counter on real processes, while agents are killed: each acknowledged increment counts once. */

import { fileURLToPath } from 'node:url'
import { Prng } from '../../agent/src/lib/prng.ts'
import type { FAULT_POINTS } from '../../agent/src/node/fault-points.ts'
import { startCluster, type TestCluster, until } from '../../agent/test/cluster/harness.ts'
import { agentStatus } from '../lib/agent-server.ts'
import { DEFAULT_SHAPE, nodePlace } from '../lib/layout.ts'
import { Clients } from './clients.ts'
import { Disks } from './disks.ts'
import { Fleet } from './fleet.ts'
import { keptRun, type Stage } from './kept-run.ts'
import { type RoundKind, Storm, weightsOf } from './storm.ts'
import { SUBJECTS, type Subject } from './subjects.ts'
import { Tally } from './tally.ts'

/** Snapshots every few entries, and so little log behind them that a short absence needs one. */
const SETTINGS = {
  election_timeout_ms: 500,
  heartbeat_interval_ms: 50,
  commit_timeout_ms: 3_000,
  snapshot: { snapshot_interval_sec: 1, snapshot_threshold: 8, retain_snapshots: 1 },
  log: { trailing_logs: 4 },
}

const FORGETFUL = fileURLToPath(new URL('forgetful.cjs', import.meta.url))
const PROGRESS_MS = 10_000
/** How long a settled cluster may take after the last kill: one of the nodes may need a snapshot. */
const SETTLED_MS = 60_000
/** Rounds that may pass without a kill, or without a point that is wanted, for each that is. */
const ROUNDS_PER_KILL_MAX = 4

export interface CounterOptions {
  /** of agents, or where `power` is set power cuts of a node's disk */
  readonly kills: number
  /** every agent that is killed loses what it had not fsynced */
  readonly power: boolean
  /** plants a fault that has to be found: agents do not wait for their disk */
  readonly planted: boolean
  readonly seed: number
  readonly nodes: number
  /** one of `SUBJECTS` */
  readonly machine: string
  /** goes on until each fault point of this list was reached */
  readonly points: readonly (typeof FAULT_POINTS)[number][]
  /** what happens meanwhile, for people */
  readonly say: (line: string) => void
  readonly signal: AbortSignal | null
}

export interface CounterReport {
  readonly acknowledged: number
  readonly unknown: number
  /** what every node shows in the end; null when they differ or do not say */
  readonly count: number | null
  readonly kills: number
  readonly cuts: number
  readonly violations: number
  readonly seed: number
  readonly faultPoints: Readonly<Record<string, number>>
  readonly rounds: Readonly<Record<string, number>>
  readonly refused: number
  readonly statuses: Readonly<Record<string, number>>
  readonly seconds: number
  /** what was violated, in words */
  readonly why: readonly string[]
  /** data and logs, kept where something was violated */
  readonly directory: string | null
}

/** @throws Error when it is interrupted; the rest is in the report */
export async function runCounter(options: CounterOptions): Promise<CounterReport> {
  let seen: Seen = { count: null, fleet: null, storm: null }
  const { signal } = options
  const open = () => new Tally()
  const ended = await keptRun({ signal, keep: false }, open, async (stage, tally) => {
    seen = await play(options, { ...stage, tally }, now => {
      seen = now
    })
  })
  const { book: tally, seconds, directory } = ended
  return {
    acknowledged: tally.acknowledged,
    unknown: tally.unknown,
    count: seen.count,
    kills: seen.fleet?.kills ?? 0,
    cuts: seen.fleet?.cuts ?? 0,
    violations: tally.violationCount,
    seed: options.seed,
    faultPoints: Object.fromEntries(seen.fleet?.reached ?? []),
    rounds: Object.fromEntries(seen.storm?.rounds ?? []),
    refused: tally.refused,
    statuses: Object.fromEntries(tally.statuses),
    seconds,
    why: tally.violations,
    directory,
  }
}

interface Seen {
  readonly count: number | null
  readonly fleet: Fleet | null
  readonly storm: Storm | null
}

interface Counted extends Stage {
  readonly tally: Tally
}

async function play(
  options: CounterOptions,
  { tally, directory, lifetime }: Counted,
  onBegun: (seen: Seen) => void,
): Promise<Seen> {
  const subject = subjectOf(options.machine)
  const { nodes, power } = options
  const shape = { nodes, machine: subject.machine() }
  const disks = power ? await makeDisks(directory, nodes) : null
  lifetime.teardown(() => disks?.close())
  const cluster = await startCluster(lifetime, shape, SETTINGS, directory)
  await prepare(cluster, subject)
  const env: Record<string, string> = options.planted
    ? { NODE_OPTIONS: `--require=${FORGETFUL}` }
    : {}
  const fleet = new Fleet({ cluster, disks, env, onViolation: text => tally.violation(text) })
  const prng = new Prng(options.seed)
  const storm = new Storm({
    ...{ fleet, subject, tally, prng },
    settings: SETTINGS,
    weights: weightsOf(options),
    planted: options.planted,
  })
  onBegun({ count: null, fleet, storm })
  const clients = new Clients({
    ...{ subject, tally, seed: options.seed, disksFail: power },
    gateways: () => cluster.gateways,
  })
  lifetime.teardown(() => clients.abandon())
  clients.start()
  await storm.goesOn(20)
  await rage(storm, fleet, options)
  await storm.calm()
  await clients.stop()
  await settled(cluster)
  await clients.repeat(prng)
  await settled(cluster)
  const count = await compare(cluster, subject, tally)
  if (count !== null) tally.settle(count)
  return { count, fleet, storm }
}

/** Rounds until there were kills enough, each wanted point was reached, and a node was wiped and came back. */
async function rage(storm: Storm, fleet: Fleet, options: CounterOptions): Promise<void> {
  const { kills, power, points, say, signal } = options
  const done = () => (power ? fleet.cuts : fleet.kills)
  const roundsMax = (kills + points.length) * ROUNDS_PER_KILL_MAX
  let said = performance.now()
  for (let round = 0; ; round++) {
    signal?.throwIfAborted()
    const missing = points.filter(point => !fleet.reached.has(point))
    const [next] = missing
    const replaced = isReplaced(storm, options)
    if (done() >= kills && next === undefined && replaced) return
    if (round >= roundsMax) throw new Error(`never reached: ${missing.join(', ') || 'the kills'}`)
    if (next !== undefined) await storm.seek(next)
    else await storm.play(drawn(storm, !replaced && done() * 2 >= kills))
    if (performance.now() - said < PROGRESS_MS) continue
    said = performance.now()
    say(`${done()} of ${kills} ${power ? 'power cuts' : 'kills'}`)
  }
}

function drawn(storm: Storm, mustReplace: boolean): RoundKind {
  return mustReplace ? 'replace' : storm.draw()
}

/** Whether a node was wiped, removed and added again; or that cannot be done here. */
function isReplaced(storm: Storm, options: CounterOptions): boolean {
  return storm.rounds.has('replace') || weightsOf(options).replace === 0
}

/** Where the agents will have their data. */
function makeDisks(directory: string, nodes: number): Promise<Disks> {
  const places = Array.from({ length: nodes }, (_, at) => nodePlace(directory, DEFAULT_SHAPE, at))
  return Disks.make(places.map(({ dataDirectory }) => dataDirectory))
}

async function prepare(cluster: TestCluster, { prepare: ask }: Subject): Promise<void> {
  const [node] = cluster.nodes
  if (ask === null || node === undefined) return
  const client = cluster.gateway(node)
  await until('the table is made', async () => (await client.ask(ask)).status === 200)
}

function settled(cluster: TestCluster): Promise<void> {
  return until(
    'all nodes have applied the same',
    async () => {
      const all = await Promise.all(cluster.nodes.map(agentStatus))
      const commit = Math.max(...all.map(status => status?.commitIndex ?? -1))
      return all.every(status => status?.ready === true && status.appliedIndex === commit)
    },
    SETTLED_MS,
  )
}

/** @returns what all nodes show; null when they do not */
async function compare(
  cluster: TestCluster,
  subject: Subject,
  tally: Tally,
): Promise<number | null> {
  const shown = await Promise.all(
    cluster.nodes.map(async node => {
      const answer = await cluster.agent(node).ask(subject.count())
      const status = await agentStatus(node)
      const { index = null, hash = null } = status?.chain ?? {}
      return { id: node.id, count: subject.number(answer), index, hash }
    }),
  )
  const told = shown.map(node => JSON.stringify(node)).join(' ')
  const different = (of: (each: (typeof shown)[number]) => unknown) =>
    new Set(shown.map(of)).size > 1 || shown.some(each => of(each) === null)
  if (different(({ index, hash }) => `${index} ${hash}`)) tally.violation(`chains differ: ${told}`)
  if (!different(({ count }) => count)) return shown[0]?.count ?? null
  tally.violation(`counts differ: ${told}`)
  return null
}

function subjectOf(name: string): Subject {
  const subject = Object.hasOwn(SUBJECTS, name) ? SUBJECTS[name] : undefined
  if (subject === undefined) throw new Error(`there is no ${name}`)
  return subject
}
