import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { isEtcd, TARGET_TEXTS, TARGETS, type Target } from './cluster.ts'
import { LOADS, type Load } from './job.ts'

export const USAGE = `Writes and reads beside etcd, in the same run on this machine. Only ratios within one run count.

usage: scripts/bench [options]
       scripts/bench edge [options]     reads out of nginx’s memory: see its own --help

  --targets LIST        of: ${TARGETS.join(', ')}
                        (default: all; without etcd those of ours)
  --loads LIST          of: ${LOADS.join(', ')} (default: both)
  --concurrency LIST    requests in flight (default 1,16,64,256)
  --seconds N           measured per point, after a warm-up of a quarter of it (default 2)
  --repetitions N       of every point; the order of targets rotates (default 3)
  --value-bytes N       (default 100)
  --keys N              different keys (default 10000)
  --data DIR            where the clusters put their data; must be on a real disk
                        (default: a new folder in .cluster/); only what the bench puts there is removed
  --base-port N         first of 100 loopback ports (default 19000)
  --json FILE           all figures as JSON
  --compare DIR         a checkout that is built: its agents become the target compared
  --node-args ARGS      given to node for the agents, as --node-args="--cpu-prof"; keeps the data folder
  --help

Targets:
${TARGETS.map(target => `  ${target.padEnd(22)}${TARGET_TEXTS[target]}`).join('\n')}
`

export interface Options {
  /** null: all that this machine has */
  readonly targets: readonly Target[] | null
  readonly loads: readonly Load[]
  readonly concurrency: readonly number[]
  readonly seconds: number
  readonly repetitions: number
  readonly valueBytes: number
  readonly keys: number
  readonly data: string | null
  readonly basePort: number
  readonly json: string | null
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
  const options = {
    targets: text,
    loads: { type: 'string', default: LOADS.join(',') },
    concurrency: { type: 'string', default: '1,16,64,256' },
    seconds: { type: 'string', default: '2' },
    repetitions: { type: 'string', default: '3' },
    'value-bytes': { type: 'string', default: '100' },
    keys: { type: 'string', default: '10000' },
    data: text,
    'base-port': { type: 'string', default: '19000' },
    json: text,
    compare: text,
    'node-args': { type: 'string', default: '' },
    help: { type: 'boolean', short: 'h', default: false },
  } as const
  return parseArgs({ args: [...args], options }).values
}

function read(values: ReturnType<typeof parse>): Options {
  return {
    targets: values.targets === undefined ? null : members('targets', values.targets, TARGETS),
    loads: members('loads', values.loads, LOADS),
    concurrency: values.concurrency.split(',').map(one => whole('concurrency', one, 4096)),
    seconds: positive('seconds', values.seconds),
    repetitions: whole('repetitions', values.repetitions, 1000),
    valueBytes: whole('value-bytes', values['value-bytes'], 500_000),
    keys: whole('keys', values.keys, 1_000_000),
    data: values.data ?? null,
    basePort: whole('base-port', values['base-port'], 65_000),
    json: values.json ?? null,
    compare: values.compare === undefined ? null : resolve(values.compare),
    nodeArgs: values['node-args'].split(' ').filter(Boolean),
  }
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

/** @param etcdThere whether etcd's program was found */
export function chosenTargets(options: Options, etcdThere: boolean): readonly Target[] {
  const { targets, compare } = options
  if (targets === null) {
    return TARGETS.filter(target => {
      if (target === 'compared') return compare !== null
      return etcdThere || !isEtcd(target)
    })
  }
  if (compare === null && targets.includes('compared')) throw new Error('--compare DIR is missing')
  if (!etcdThere && targets.some(isEtcd)) {
    throw new Error('etcd is not installed: apt-get install etcd-server')
  }
  return targets
}
