/** Faults on real processes: see `USAGE`. */

import { parseArgs } from 'node:util'
import { type CounterReport, runCounter } from './faults/counter.ts'
import { SUBJECTS } from './faults/subjects.ts'
import { UsageError, whole } from './lib/options.ts'

const USAGE = `Faults on real processes: agents behind their nginx, clients that go on, and promises that are checked.

usage: npm run faults -- counter --kills N [--seed S] [--nodes N] [--machine M] [--json]

  counter   Increments, which are not idempotent, go through random gateways while agents are killed with -9: at any
            moment and between two steps of their work (agent/src/node/fault-points.ts), the leader rather than
            another, at times all at once; snapshots are taken every few entries, disks and state machines lost.
            In the end all nodes are level and show the same count and hash, and
            acknowledged <= count <= acknowledged + unknown.

  --kills N      how many agents have to be killed (default 200)
  --seed S       of what is drawn; the processes' own timing is not (default: drawn, and printed)
  --nodes N      3 to 7 (default 3)
  --machine M    counter (default): agent/examples/2-counter; sql: a row of the SQL machine
  --json         the last line is one JSON object: acknowledged, unknown, count, kills, violations, and more

Exit status: 0 every promise was kept; 1 one was broken, and the data and logs are kept and named; 2 bad usage.
`

const KILLS_MAX = 100_000
const SEED_MAX = 0xffff_ffff

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
    if (command !== 'counter') {
      throw new UsageError(command === '' ? 'say which faults' : `there are no faults ${command}`)
    }
    return await counter(values)
  } catch (error) {
    console.error(`faults: ${error instanceof Error ? error.message : error}`)
    if (!(error instanceof UsageError)) return 1
    console.error(`\n${USAGE}`)
    return 2
  }
}

type Values = ReturnType<typeof parse>['values']

function parse(args: readonly string[]) {
  const options = {
    kills: { type: 'string' },
    seed: { type: 'string' },
    nodes: { type: 'string' },
    machine: { type: 'string', default: 'counter' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  } as const
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

async function counter({ machine, json, ...given }: Values): Promise<number> {
  if (!Object.hasOwn(SUBJECTS, machine)) {
    throw new UsageError(`--machine must be one of ${Object.keys(SUBJECTS).join(', ')}`)
  }
  const kills = whole(given.kills, 200, { name: '--kills', min: 1, max: KILLS_MAX })
  const nodes = whole(given.nodes, 3, { name: '--nodes', min: 3, max: 7 })
  const drawn = Date.now() % 1_000_000_000
  const seed = whole(given.seed, drawn, { name: '--seed', min: 0, max: SEED_MAX })
  const say = (line: string) => console.error(line)
  say(`${kills} kills, seed ${seed}`)
  const report = await runCounter({
    ...{ kills, nodes, seed, machine, say },
    points: [],
    signal: interrupt(),
  })
  console.log(json ? JSON.stringify(report) : textOf(report))
  return report.violations === 0 ? 0 : 1
}

/** The first Ctrl-C ends the run in good order: processes are ended, and what was found is told. */
function interrupt(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
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
    ...(directory === null ? [] : [`data and logs are kept in ${directory}`]),
  ].join('\n')
}
