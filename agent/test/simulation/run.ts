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
  const first =
    values.seed === undefined ? Date.now() % 1_000_000_000 : whole('seed', values.seed, 0)
  const seeds = whole('seeds', values.seeds, 1)
  const nodes = values.nodes === undefined ? null : whole('nodes', values.nodes, 1)
  if (nodes !== null && nodes > 7) throw new RangeError('--nodes: at most 7')
  say(`seeds ${first} to ${first + seeds - 1}`)
  const report = walk({ first, seeds, nodes, stop: values.first, shrinks: values.shrink })
  say(values.json ? JSON.stringify(report) : JSON.stringify(report, null, 2))
  const missed = seeds >= SEEDS_FOR_ALL_STATES && nodes === null ? report.missed : []
  if (missed.length > 0) process.stderr.write(`never reached: ${missed.join(', ')}\n`)
  return report.violations + missed.length > 0 ? 1 : 0
}

interface Walk {
  readonly first: number
  readonly seeds: number
  readonly nodes: number | null
  /** at the first violation */
  readonly stop: boolean
  readonly shrinks: boolean
}

function walk({ first, seeds, nodes, stop, shrinks }: Walk) {
  const faults = new Tally()
  const reached = new Tally()
  const hash = createHash('sha256')
  let events = 0
  let violations = 0
  for (let seed = first; seed < first + seeds; seed++) {
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
    if (shrinks) reduce(seed, nodes)
    if (stop) break
  }
  const missed = STATES.filter(state => reached.get(state) === 0)
  return {
    seeds,
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
