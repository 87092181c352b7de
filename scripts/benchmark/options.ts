import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { TARGET_SPECS, TARGETS, type Target } from './cluster.ts'
import { LOAD_NAMES, LOAD_SPECS, type LoadName } from './loads.ts'
import { QUICK_SCENARIOS, QUICK_TARGETS } from './quick.ts'
import { SCENARIO_NAMES, SCENARIO_TEXTS, type ScenarioName } from './scenarios/names.ts'

/** Without other wishes; those that this machine has. */
const DEFAULT_TARGETS: readonly Target[] = TARGETS.filter(target => target !== 'compared')

export const USAGE = `raft-nginx beside other stores, in the same run on this machine. Only ratios within one run count.

usage: scripts/bench [options]
       scripts/bench edge|snapshots|overload|steady [options]   see their own --help
       scripts/bench compare BASE HEAD [options]            two commits, as ratios

  --quick               what matters most, in less than 5 minutes: writes, reads and failover beside etcd
  --json                the last line of the output is one JSON object: machine, versions, results, ratios, goals
  --output FILE         every single measurement as JSON as well
  --write-docs          the tables and the chart into agent/docs
  --targets LIST        of: ${TARGETS.join(', ')}
                        (default: all that can be had; the output says what is missing and why)
  --loads LIST          of: ${LOAD_NAMES.join(', ')} ; none: "" (default: all)
  --scenarios LIST      of: ${SCENARIO_NAMES.join(', ')}; none: "" (default: all)
  --concurrency LIST    requests in flight (default 1,16,64,256)
  --seconds N           measured per point, after a warm-up of a quarter of it (default 2; quick 1.25)
  --repetitions N       of every point; the order of targets rotates (default 3)
  --failovers N         how often the leader is killed (default 10; quick 5)
  --million N           keys of the scenario million (default 1000000)
  --idle SECONDS        of the scenario million, before memory is read again (default 60)
  --rate N              requests a second are due, whether or not others are answered (default: as many as are answered)
  --nodes N             voters of raft-nginx and of the other stores (default 3)
  --learners N          nodes of raft-nginx beside them that never vote (default 0)
  --value-bytes N       (default 100)
  --keys N              different keys (default 10000)
  --etcd PROGRAM        (default: Debian's newest, unpacked; else the one installed)
  --data DIR            where the clusters put their data; must be on a real disk
                        (default: a new folder in .cluster/); only what the bench puts there is removed
  --base-port N         first of 600 loopback ports (default 19000)
  --agent DIR           a checkout that is built: its agents instead of this one's
  --compare DIR         a checkout that is built: its agents become the target compared
  --node-args ARGS      given to node for the agents, as --node-args="--cpu-prof"; keeps the data folder
  --help

Targets:
${TARGETS.map(target => `  ${target.padEnd(22)}${TARGET_SPECS[target].text}`).join('\n')}

Loads:
${LOAD_NAMES.map(load => `  ${load.padEnd(22)}${LOAD_SPECS[load].text}`).join('\n')}

Scenarios:
${SCENARIO_NAMES.map(name => `  ${name.padEnd(22)}${SCENARIO_TEXTS[name]}`).join('\n')}
`

export interface Options {
  readonly quick: boolean
  readonly json: boolean
  readonly output: string | null
  readonly writeDocs: boolean
  readonly targets: readonly Target[]
  readonly loads: readonly LoadName[]
  readonly scenarios: readonly ScenarioName[]
  readonly concurrency: readonly number[]
  readonly seconds: number
  readonly repetitions: number
  readonly failovers: number
  /** keys of the scenario million */
  readonly million: number
  /** seconds */
  readonly idle: number
  readonly rate: number | null
  readonly nodes: number
  readonly learners: number
  readonly valueBytes: number
  readonly keys: number
  readonly etcd: string | null
  readonly data: string | null
  readonly basePort: number
  /** null: this checkout */
  readonly agent: string | null
  readonly compare: string | null
  readonly nodeArgs: readonly string[]
}

export type Parsed =
  | { readonly kind: 'options'; readonly options: Options }
  | { readonly kind: 'help' }
  | { readonly kind: 'refused'; readonly reason: string }

export function parseOptions(args: readonly string[]): Parsed {
  try {
    const values = parse(args)
    return values.help ? { kind: 'help' } : { kind: 'options', options: read(values) }
  } catch (error) {
    return { kind: 'refused', reason: error instanceof Error ? error.message : String(error) }
  }
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean', default: false } as const
  const options = {
    quick: flag,
    json: flag,
    output: text,
    'write-docs': flag,
    targets: text,
    loads: { type: 'string', default: LOAD_NAMES.join(',') },
    scenarios: text,
    concurrency: { type: 'string', default: '1,16,64,256' },
    seconds: text,
    repetitions: { type: 'string', default: '3' },
    failovers: text,
    million: { type: 'string', default: '1000000' },
    idle: { type: 'string', default: '60' },
    rate: text,
    nodes: { type: 'string', default: '3' },
    learners: { type: 'string', default: '0' },
    'value-bytes': { type: 'string', default: '100' },
    keys: { type: 'string', default: '10000' },
    etcd: text,
    data: text,
    'base-port': { type: 'string', default: '19000' },
    agent: text,
    compare: text,
    'node-args': { type: 'string', default: '' },
    help: { type: 'boolean', short: 'h', default: false },
  } as const
  return parseArgs({ args: [...args], options }).values
}

function read(values: ReturnType<typeof parse>): Options {
  const { quick, compare, targets } = values
  const usual = quick ? QUICK_TARGETS : DEFAULT_TARGETS
  const chosen = targets === undefined ? usual : members('targets', targets, TARGETS)
  return {
    ...{ quick, json: values.json, writeDocs: values['write-docs'] },
    output: values.output ?? null,
    targets: compare === undefined ? chosen : [...new Set([...chosen, 'compared' as const])],
    loads: someOf('loads', values.loads, LOAD_NAMES),
    scenarios: scenariosOf(values.scenarios, quick),
    concurrency: values.concurrency.split(',').map(one => whole('concurrency', one, 4096)),
    seconds: positive('seconds', values.seconds ?? (quick ? '1.25' : '2')),
    repetitions: whole('repetitions', values.repetitions, 1000),
    failovers: whole('failovers', values.failovers ?? (quick ? '5' : '10'), 1000),
    idle: positive('idle', values.idle),
    million: whole('million', values.million, 10_000_000),
    rate: values.rate === undefined ? null : positive('rate', values.rate),
    nodes: whole('nodes', values.nodes, 9),
    learners: values.learners === '0' ? 0 : whole('learners', values.learners, 30),
    valueBytes: whole('value-bytes', values['value-bytes'], 500_000),
    keys: whole('keys', values.keys, 1_000_000),
    etcd: values.etcd ?? null,
    data: values.data ?? null,
    basePort: whole('base-port', values['base-port'], 65_000),
    agent: values.agent === undefined ? null : resolve(values.agent),
    compare: compare === undefined ? null : resolve(compare),
    nodeArgs: values['node-args'].split(' ').filter(Boolean),
  }
}

function scenariosOf(list: string | undefined, quick: boolean): readonly ScenarioName[] {
  if (list === undefined) return quick ? QUICK_SCENARIOS : SCENARIO_NAMES
  return someOf('scenarios', list, SCENARIO_NAMES)
}

/** None where the list is empty. */
function someOf<Name extends string>(
  option: string,
  list: string,
  known: readonly Name[],
): readonly Name[] {
  return list === '' ? [] : members(option, list, known)
}

function members<Name extends string>(
  option: string,
  list: string,
  known: readonly Name[],
): readonly Name[] {
  return list.split(',').map(given => {
    const found = known.find(name => name === given)
    if (found === undefined)
      throw new RangeError(`--${option}: ${given} is none of ${known.join(', ')}`)
    return found
  })
}

function whole(option: string, text: string, max: number): number {
  const value = positive(option, text)
  if (!Number.isInteger(value) || value > max) {
    throw new RangeError(`--${option}: ${text} is not a whole number of at most ${max}`)
  }
  return value
}

function positive(option: string, text: string): number {
  const value = Number(text)
  if (!(value > 0) || !Number.isFinite(value)) {
    throw new RangeError(`--${option}: ${text} is not a number above 0`)
  }
  return value
}
