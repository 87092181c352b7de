import { createHash } from 'node:crypto'
import { parseArgs } from 'node:util'
import { STATES } from './coverage.ts'
import { killMutants } from './mutation.ts'
import { shrink } from './shrink.ts'
import { tableOf } from './table.ts'
import { Tally } from './tally.ts'
import { drawWeather } from './weather.ts'
import { simulate } from './world.ts'

const HELP = `Walks the real core through simulated networks, disks and crashes, and checks every promise.
Exit status: 0 all were kept; 1 one was broken, or 2,000 seeds never reached some state that matters.

  --seeds N   how many seeds to run (default 100)
  --minutes M instead: as many as fit, so that a night is 480
  --seed S    the first of them (default: drawn, and printed)
  --nodes K   members of the cluster, 1 to 7 (default: drawn by each seed)
  --json      end with one line of JSON
  --first     stop at the first violation
  --shrink    of every failing seed: leave out what it fails without, and print its last events
  --mutants   instead: change one line of the core at a time; every change must be noticed
  --only ID   of the mutants
  --help`

/** So many seeds have to reach every state that matters. */
const SEEDS_FOR_ALL_STATES = 2000

/** Of a failing run, its last events. */
const ROWS = 60

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '100' },
      minutes: { type: 'string' },
      seed: { type: 'string' },
      nodes: { type: 'string' },
      json: { type: 'boolean', default: false },
      first: { type: 'boolean', default: false },
      shrink: { type: 'boolean', default: false },
      mutants: { type: 'boolean', default: false },
      only: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    say(HELP)
    return 0
  }
  if (values.mutants) return (await killMutants(values.only ?? null, say)) > 0 ? 1 : 0
  const { first, nodes, shrinks, stop, ...limits } = walkOf(values)
  const last = limits.until === null ? `to ${first + limits.seeds - 1}` : 'and so on'
  say(`seeds ${first} ${last}`)
  const report = walk({ first, nodes, shrinks, stop, ...limits })
  say(values.json ? JSON.stringify(report) : JSON.stringify(report, null, 2))
  const missed = report.seeds >= SEEDS_FOR_ALL_STATES && nodes === null ? report.missed : []
  if (missed.length > 0) process.stderr.write(`never reached: ${missed.join(', ')}\n`)
  return report.violations + missed.length > 0 ? 1 : 0
}

interface Values {
  readonly seeds: string
  readonly minutes?: string
  readonly seed?: string
  readonly nodes?: string
  readonly first: boolean
  readonly shrink: boolean
}

/** @throws RangeError */
function walkOf({ seeds, minutes, seed, nodes, first, shrink }: Values): Walk {
  const optional = (name: string, text: string | undefined, least: number): number | null =>
    text === undefined ? null : whole(name, text, least)
  const time = optional('minutes', minutes, 1)
  const members = optional('nodes', nodes, 1)
  if (members !== null && members > 7) throw new RangeError('--nodes: at most 7')
  return {
    first: optional('seed', seed, 0) ?? Date.now() % 1_000_000_000,
    seeds: time === null ? whole('seeds', seeds, 1) : Number.MAX_SAFE_INTEGER,
    until: time === null ? null : Date.now() + time * 60_000,
    nodes: members,
    stop: first,
    shrinks: shrink,
  }
}

interface Walk {
  readonly first: number
  readonly seeds: number
  /** no seed begins after this time, milliseconds since the epoch; null: no such limit */
  readonly until: number | null
  readonly nodes: number | null
  /** at the first violation */
  readonly stop: boolean
  readonly shrinks: boolean
}

function walk({ first, seeds, until, nodes, stop, shrinks }: Walk) {
  const faults = new Tally()
  const reached = new Tally()
  const hash = createHash('sha256')
  let events = 0
  let violations = 0
  let walked = 0
  for (let seed = first; walked < seeds && (until === null || Date.now() < until); seed++) {
    walked++
    const outcome = simulate(seed, nodes)
    events += outcome.events
    hash.update(outcome.hash)
    faults.merge(outcome.faults)
    reached.merge(outcome.reached)
    if (outcome.violation === null) continue
    violations++
    say(`seed ${seed}: ${outcome.violation}`)
    say(
      `  repeat: npm run simulate -- --seeds 1 --seed ${seed}${nodes === null ? '' : ` --nodes ${nodes}`}`,
    )
    for (const line of outcome.nodes) say(`  ${line}`)
    if (shrinks) reduce(seed, nodes)
    if (stop) break
  }
  const missed = STATES.filter(state => reached.get(state) === 0)
  return {
    seeds: walked,
    events,
    violations,
    hash: hash.digest('hex').slice(0, 16),
    faults,
    reached,
    missed,
  }
}

/** The scenario as it goes into a file below scenarios/, and its end as a table. */
function reduce(seed: number, nodes: number | null): void {
  const { scenario, outcome, runs } = shrink({ seed, weather: drawWeather(seed, nodes) })
  say(`  after ${runs} runs: ${outcome.violation}`)
  say(`  ${JSON.stringify(scenario)}`)
  for (const line of tableOf(scenario, ROWS)) say(line)
}

function whole(name: string, text: string, least: number): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < least) {
    throw new RangeError(`--${name}: a whole number from ${least}`)
  }
  return value
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

process.exitCode = await main()
