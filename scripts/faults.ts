/** Faults on real processes: see `USAGE`. */

import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Chance } from '../agent/test/simulation/chance.ts'
import { type CounterOptions, type CounterReport, runCounter } from './faults/counter.ts'
import { whyNoPowerCuts } from './faults/disks.ts'
import { KINDS, type KindName } from './faults/mixed/nemesis.ts'
import type { Usage } from './faults/mixed/resources.ts'
import { type MixedReport, runMixed } from './faults/mixed/run.ts'
import { SUBJECTS } from './faults/subjects.ts'
import { whyNoBuild } from './lib/builds.ts'
import { ROOT, type Shape } from './lib/layout.ts'
import { UsageError, whole } from './lib/options.ts'
import { inside, isInside, whyNoMachine } from './net/inside.ts'

const USAGE = `Faults on real processes: agents behind their nginx, clients that go on, and promises that are checked.

usage: npm run faults -- --minutes M [--seed S] [--nodes N] [--only KINDS] [--peers HOW] [--from DIR] [--json]
       npm run faults -- counter --kills N [--seed S] [--nodes N] [--machine M] [--json]
       npm run faults -- power-cut --cuts N [--seed S] [--nodes N] [--machine M] [--planted] [--json]

  --minutes Faults of every kind, mixed: agents killed and paused, networks cut, lossy and narrow, disks that lose
            power, fill up, fail and are slow, clocks that jump, members, leaders and certificates that change,
            upgrades, nginx killed and reloaded. Clients of all gateways use registers, counters, sets, a bank, locks and watches; the answers
            have to be those of a single copy, and all nodes have to end with the same. As root each node is a host
            of its own, with a disk of its own; else all is on loopback, and what could not be tried is listed.

  counter   Increments, which are not idempotent, go through random gateways while agents are killed with -9: at any
            moment and between two steps of their work (agent/src/node/fault-points.ts), the leader rather than
            another, at times all at once; snapshots are taken every few entries, disks and state machines lost.
            In the end all nodes are level and show the same count and hash, and
            acknowledged <= count <= acknowledged + unknown.

  power-cut The same, and with each agent that is killed its disk loses its power: what was not fsynced is gone. Each
            node has a file system of its own, on a loop device; needs root. Where that cannot be had the run says
            "not run", and fails.

  --minutes M    how long faults are made, 0.1 to 1440
  --only KINDS   of these kinds only, separated by commas, such as "partition,kill -9"
  --peers HOW    of --minutes: how agents know each other, secret, tls or open (default: one of the first two, drawn)
  --from DIR     of --minutes: another checkout, built; all nodes begin with that, and are upgraded to this one
  --keep         of --minutes: history, data and logs stay in any case
  --kills N      how many agents have to be killed (default 200)
  --cuts N       how many times a disk has to lose its power (default 100)
  --seed S       of what is drawn; the processes' own timing is not (default: drawn, and printed)
  --nodes N      1 to 7 (default 3); 3 to 7 with --minutes
  --machine M    counter: agent/examples/2-counter, the default of counter; sql: a row of the SQL machine, the other's
  --planted      agents do not wait for their disks: what power cuts must find
  --json         the last line is one JSON object: acknowledged, unknown, count, kills, violations, and more

Exit status: 0 every promise was kept; 1 one was broken, and the data and logs are kept and named; 2 bad usage.
`

const TIMES_MAX = 100_000
const MINUTES = { min: 0.1, max: 1_440 }
const SEED_MAX = 0xffff_ffff
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

process.exitCode = await main(process.argv.slice(2))

/** @returns the exit code */
async function main(args: readonly string[]): Promise<number> {
  try {
    const { values, positionals } = parse(args)
    if (values.help) {
      console.log(USAGE)
      return 0
    }
    const [command = '', ...more] = positionals
    if (more.length > 0) throw new UsageError(`too many words: ${more.join(' ')}`)
    if (command === '' && values.minutes !== undefined) return await mixed(values, args)
    const { minutes, only, peers, from } = values
    if ([minutes, only, peers, from].some(value => value !== undefined) || values.keep) {
      throw new UsageError(
        '--minutes, --only, --peers, --from and --keep belong to mixed faults, without a command',
      )
    }
    if (command === 'counter') return await counter(values)
    if (command === 'power-cut') return await powerCut(values, args)
    throw new UsageError(command === '' ? 'say which faults' : `there are no faults ${command}`)
  } catch (error) {
    console.error(`faults: ${error instanceof Error ? error.message : error}`)
    if (!(error instanceof UsageError)) return 1
    console.error(`\n${USAGE}`)
    return 2
  }
}

type Values = ReturnType<typeof parse>['values']

/** In a machine of its own where there can be one, so that nothing is left of it. */
async function mixed(values: Values, args: readonly string[]): Promise<number> {
  for (const [name, value] of Object.entries({ kills: values.kills, cuts: values.cuts })) {
    if (value !== undefined) throw new UsageError(`--${name} belongs to counter or power-cut`)
  }
  if (values.machine !== undefined) throw new UsageError('--machine belongs to the others')
  const minutes = Number(values.minutes)
  if (!(minutes >= MINUTES.min && minutes <= MINUTES.max)) {
    throw new UsageError(`--minutes must be a number from ${MINUTES.min} to ${MINUTES.max}`)
  }
  const { seed } = drawn(values, 'counter')
  const nodes = whole(values.nodes, 3, { name: '--nodes', min: 3, max: 7 })
  const only = kindsOf(values.only)
  const [peers, from] = [peersOf(values.peers, seed), buildAt(values.from)]
  if (!isInside() && (await whyNoMachine()) === null) {
    return inside('machine', sameCommand([...args, ...(values.seed ? [] : ['--seed', `${seed}`])]))
  }
  const { keep, planted } = values
  const say = (line: string) => console.error(line)
  say(`${minutes} minutes of faults on ${nodes} nodes, seed ${seed}, peers: ${peers}`)
  const report = await runMixed({
    minutes,
    seed,
    nodes,
    only,
    peers,
    from,
    keep,
    planted,
    say,
    signal: interrupt(),
  })
  console.log(values.json ? JSON.stringify(report) : mixedText(report))
  return report.violations === 0 ? 0 : 1
}

/** @throws UsageError */
function kindsOf(text: string | undefined): readonly KindName[] | null {
  if (text === undefined) return null
  return text.split(',').map(name => {
    if (Object.hasOwn(KINDS, name)) return name as KindName
    throw new UsageError(`--only knows ${Object.keys(KINDS).join(', ')}`)
  })
}

/** @throws UsageError */
function peersOf(text: string | undefined, seed: number): Shape['peers'] {
  if (text === undefined) return new Chance(seed, 'peers').oneOf(['secret', 'tls'])
  if (text === 'secret' || text === 'tls' || text === 'open') return text
  throw new UsageError('--peers must be secret, tls or open')
}

/** @throws UsageError */
function buildAt(directory: string | undefined): string | null {
  if (directory === undefined) return null
  const root = resolve(directory)
  const why = root === ROOT ? 'that is this one' : whyNoBuild(root)
  if (why !== null) throw new UsageError(`--from: ${why}`)
  return root
}

function mixedText(report: MixedReport): string {
  const { faults, statuses, endings, resources, notTried, why, directory, ...figures } = report
  return [
    listOf(figures).join(', '),
    `answers: ${listOf(statuses).join(', ')}`,
    `faults: ${listOf(faults).join(', ')}`,
    ...resourceLines(resources),
    ...listOf(endings).map(text => `an agent ended: ${text}`),
    ...notTried.map(text => `not tried: ${text}`),
    ...why.map(text => `VIOLATED: ${text}`),
    ...(directory === null ? [] : [`history, data and logs are kept in ${directory}`]),
  ].join('\n')
}

function resourceLines(resources: MixedReport['resources']): string[] {
  return Object.entries(resources).map(([name, [first, last]]) => {
    const what = ({ residentMb, files }: Usage) => `${residentMb} MB, ${files} files`
    return `${name}: ${first === null ? '-' : what(first)}; in the end ${what(last)}`
  })
}

function listOf(of: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(of).map(([name, value]) => `${name} ${value}`)
}

function parse(args: readonly string[]) {
  const options = {
    minutes: { type: 'string' },
    only: { type: 'string' },
    peers: { type: 'string' },
    from: { type: 'string' },
    kills: { type: 'string' },
    seed: { type: 'string' },
    nodes: { type: 'string' },
    cuts: { type: 'string' },
    planted: { type: 'boolean', default: false },
    machine: { type: 'string' },
    keep: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  } as const
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

async function counter(values: Values): Promise<number> {
  if (values.cuts !== undefined) throw new UsageError('--cuts belongs to power-cut')
  const kills = whole(values.kills, 200, { name: '--kills', min: 1, max: TIMES_MAX })
  if (values.planted) throw new UsageError('--planted belongs to power-cut')
  return play({ ...drawn(values, 'counter'), kills, power: false, planted: false }, values.json)
}

/** In a mount namespace of its own: whatever becomes of this process, no mount is left. */
async function powerCut(values: Values, args: readonly string[]): Promise<number> {
  if (values.kills !== undefined) throw new UsageError('--kills belongs to counter')
  const kills = whole(values.cuts, 100, { name: '--cuts', min: 1, max: TIMES_MAX })
  const options = { ...drawn(values, 'sql'), kills, power: true, planted: values.planted }
  if (!isInside()) return await inside('mounts', sameCommand(args))
  const why = await whyNoPowerCuts()
  if (why === null) return play(options, values.json)
  console.error(`not run: ${why}`)
  if (values.json) console.log(JSON.stringify({ notRun: why }))
  return 1
}

function sameCommand(args: readonly string[]): readonly string[] {
  return [process.execPath, ...process.execArgv, fileURLToPath(import.meta.url), ...args]
}

function drawn({ machine, seed, nodes }: Values, otherwise: string) {
  const name = machine ?? otherwise
  if (!Object.hasOwn(SUBJECTS, name)) {
    throw new UsageError(`--machine must be one of ${Object.keys(SUBJECTS).join(', ')}`)
  }
  return {
    machine: name,
    nodes: whole(nodes, 3, { name: '--nodes', min: 1, max: 7 }),
    seed: whole(seed, Date.now() % 1_000_000_000, { name: '--seed', min: 0, max: SEED_MAX }),
  }
}

type Drawn = Pick<CounterOptions, 'kills' | 'power' | 'planted' | 'seed' | 'nodes' | 'machine'>

async function play(options: Drawn, json: boolean): Promise<number> {
  const say = (line: string) => console.error(line)
  say(`${options.kills} ${options.power ? 'power cuts' : 'kills'}, seed ${options.seed}`)
  const report = await runCounter({ ...options, say, points: [], signal: interrupt() })
  console.log(json ? JSON.stringify(report) : textOf(report))
  return report.violations === 0 ? 0 : 1
}

/** The first Ctrl-C ends the run in good order: processes are ended, and what was found is told. */
function interrupt(): AbortSignal {
  const controller = new AbortController()
  for (const signal of SIGNALS) {
    process.on(signal, () => controller.abort(new Error(`stopped by ${signal}`)))
  }
  return controller.signal
}

function textOf(report: CounterReport): string {
  const { why, directory, faultPoints, rounds, statuses, ...figures } = report
  const list = (of: Readonly<Record<string, number>>) =>
    Object.entries(of).map(([name, times]) => `${name} ${times}`)
  return [
    list({ ...figures, count: figures.count ?? Number.NaN }).join(', '),
    `answers: ${list(statuses).join(', ')}`,
    `rounds: ${list(rounds).join(', ')}`,
    `ended at: ${list(faultPoints).join(', ')}`,
    ...why.map(text => `VIOLATED: ${text}`),
    ...(directory === null ? [] : [keptText(report, directory)]),
  ].join('\n')
}

function keptText({ cuts }: CounterReport, directory: string): string {
  const images = cuts === 0 ? '' : '; each data.img is a file system: mount -o loop'
  return `data and logs are kept in ${directory}${images}`
}
