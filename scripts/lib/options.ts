/** The options that `run` and `cluster` share. */

import { existsSync, realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import {
  clusterDirectory,
  DEFAULT_SHAPE,
  defaultDirectory,
  type Place,
  placeOf,
  type Shape,
  savedPlace,
} from './layout.ts'
import { machineOf } from './machine-path.ts'

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {}

export const SHAPE_OPTIONS = {
  data: { type: 'string' },
  nodes: { type: 'string' },
  'write-mode': { type: 'string' },
  'base-port': { type: 'string' },
  'in-memory': { type: 'boolean' },
  'no-nginx': { type: 'boolean' },
  tls: { type: 'boolean' },
  machine: { type: 'string' },
} as const

export const SHAPE_HELP = `  --data DIR          where the cluster lives (default: .cluster in this checkout)
  --nodes N           1 to 9 (default 3); what was chosen first stays with the data
  --write-mode MODE   how a follower's gateway takes a write to the leader: proxy (default) or redirect
  --base-port P       gateways P, P+100, ..., agents' HTTP P+85, ..., Raft P+86, ... (default 8100)
  --in-memory         keep nothing on disk
  --no-nginx          agents only
  --tls               agents know each other by certificates, which are made in DIR
  --machine WHICH     the state machine: a name that ships (default sqlite-kv), a module's path, or an example's folder

NGINX_PROGRAM in the environment names another nginx than the machine's own; NGINX_JS_ENGINE=qjs runs our scripts in it
by QuickJS (njs 1.0.1 or later).`

export interface ShapeValues {
  readonly data?: string | undefined
  readonly nodes?: string | undefined
  readonly 'write-mode'?: string | undefined
  readonly 'base-port'?: string | undefined
  readonly 'in-memory'?: boolean | undefined
  readonly 'no-nginx'?: boolean | undefined
  readonly tls?: boolean | undefined
  readonly machine?: string | undefined
}

const NODES_MAX = 9

/**
 * What was asked for; what was not asked for is as last time.
 * @throws UsageError
 */
export function wantedPlace(values: ShapeValues): Place {
  const directory = clusterDirectory(values.data ?? defaultDirectory())
  const last = savedPlace(directory)?.shape ?? DEFAULT_SHAPE
  const shape: Shape = {
    ...last,
    nodes: whole(values.nodes, last.nodes, { name: '--nodes', min: 1, max: NODES_MAX }),
    basePort: whole(values['base-port'], last.basePort, {
      name: '--base-port',
      min: 1,
      max: 64_000,
    }),
    writeMode: writeMode(values['write-mode'] ?? last.writeMode),
    inMemory: values['in-memory'] ?? last.inMemory,
    nginx: values['no-nginx'] === undefined ? last.nginx : !values['no-nginx'],
    peers: values.tls === undefined ? last.peers : 'tls',
    machine: values.machine === undefined ? last.machine : machineOf(values.machine),
  }
  return placeOf(directory, shape)
}

/** The real path of a directory that should hold a cluster; null when it does not exist. */
export function existingDirectory(given: string | undefined): string | null {
  const directory = resolve(given ?? defaultDirectory())
  return existsSync(directory) ? realpathSync(directory) : null
}

/** @throws Error when there is no cluster */
export function existingPlace(given: string | undefined): Place {
  const directory = existingDirectory(given)
  const place = directory === null ? null : savedPlace(directory)
  if (place === null)
    throw new Error(
      `no cluster in ${directory ?? given ?? defaultDirectory()}: start one with scripts/cluster up`,
    )
  return place
}

/** @throws UsageError */
export function whole(
  text: string | undefined,
  otherwise: number,
  { name, min, max }: { readonly name: string; readonly min: number; readonly max: number },
): number {
  if (text === undefined) return otherwise
  const value = Number(text)
  if (!/^[0-9]+$/.test(text) || value < min || value > max) {
    throw new UsageError(`${name} must be a number from ${min} to ${max}`)
  }
  return value
}

function writeMode(text: string): Shape['writeMode'] {
  if (text === 'proxy' || text === 'redirect') return text
  throw new UsageError('--write-mode must be proxy or redirect')
}
