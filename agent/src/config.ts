import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { z } from 'zod'
import { crossFaults } from './config/cross-checks.ts'
import { type Fault, faultsOf, pathText, unknownKey } from './config/fault.ts'
import { jsonFault } from './config/json-fault.ts'
import { type Settings, settings } from './config/settings.ts'
import {
  commandLineOverrides,
  environmentOverrides,
  isObject,
  override,
  type RawSettings,
  sourceOf,
} from './config/sources.ts'
import { assert } from './lib/assert.ts'
import { asNodeId, type NodeId } from './raft/types.ts'
import type { CredentialFiles } from './tls/credentials.ts'

/** What tells a module's path from the name of a machine that ships. */
const PATH = /\/|\.[cm]?[jt]s$/

/** How one node is reached; `address` and `raftBind` are `host:port`. */
export interface NodeConfig {
  readonly id: NodeId
  readonly address: string
  readonly raftBind: string
  readonly gateway: string | null
}

/** A complete, checked configuration: every default is filled in, every path is absolute. See `config/settings.ts` for meanings. */
export interface Config {
  /** what it was read from */
  readonly file: string
  readonly clusterName: string
  readonly nodeId: NodeId
  /** the voters of a new cluster, this node included; afterwards its log says who belongs to it */
  readonly nodes: readonly NodeConfig[]
  /** name of one that ships, or absolute path of a module */
  readonly machine: string
  /** how this node enters a cluster that exists; null: it forms a new one with `nodes` */
  readonly join: {
    /** HTTP of members, `host:port` */
    readonly via: readonly string[]
    /** false: it never votes */
    readonly voter: boolean
  } | null
  readonly raftDir: string
  readonly inMemory: boolean
  readonly electionTimeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly commitTimeoutMs: number
  /** between two comparisons of all machines; 0: never */
  readonly checkIntervalMs: number
  /** what becomes of a damaged disk of this node */
  readonly repair: Settings['repair']
  /** when the log is shortened, and how many snapshots are kept */
  readonly snapshot: {
    readonly enabled: boolean
    readonly intervalSec: number
    /** entries */
    readonly threshold: number
    readonly retain: number
  }
  readonly log: {
    /** of the Raft log */
    readonly dir: string
    /** entries that stay although they could go */
    readonly trailingLogs: number
    /** of the process log */
    readonly level: Settings['log']['level']
  }
  readonly transport: {
    /** where peers are accepted: `host:port` */
    readonly listen: string
    readonly timeoutSec: number
  }
  /** how agents know each other; null: they do not */
  readonly peers: CredentialFiles | null
  /** Whoever reaches a port for agents or operators is trusted. */
  readonly peersOpen: boolean
  readonly server: {
    /** where HTTP is accepted: `host:port` */
    readonly listen: string
    /** unix socket for the nginx of this node */
    readonly socket: string | null
    readonly socketMode: number
  }
  readonly edge: {
    /** where the nginx of this node takes what was applied */
    readonly socket: string | null
    /** what keys begin with that it is to have; none: all keys */
    readonly prefixes: readonly string[]
  }
  readonly structure: {
    /** whether keys become nginx's configuration */
    readonly enabled: boolean
    readonly prefix: string
    /** whether clients read and write them too */
    readonly gatewayAccess: boolean
  }
  readonly limits: {
    readonly keyBytesMax: number
    readonly valueBytesMax: number
    readonly bodyBytesMax: number
  }
}

/** A configuration, or everything that is wrong with it: one line each. */
export type ConfigResult =
  | { readonly kind: 'config'; readonly config: Config }
  | { readonly kind: 'faults'; readonly faults: readonly string[] }

/** Where settings come from. The file's are overridden by the environment's, those by `overrides`. */
export interface ConfigSources {
  /** Path of the file: relative paths in settings start at its directory. */
  readonly file: string
  /** What stands in the file. */
  readonly text: string
  /** Of which `RAFT_NGINX_<KEY>` are read, with `__` between the levels. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Of the command line, shaped like the file. */
  readonly overrides: RawSettings
}

/** Checks all settings; touches no disk. */
export function loadConfig({ file, text, env, overrides }: ConfigSources): ConfigResult {
  const broken = jsonFault(text)
  if (broken !== null) {
    return {
      kind: 'faults',
      faults: [`${file}:${broken.line}:${broken.column}: ${broken.problem}`],
    }
  }
  const raw: unknown = JSON.parse(text)
  if (!isObject(raw)) return { kind: 'faults', faults: [`${file}: must be one JSON object`] }
  const fromEnvironment = environmentOverrides(env)
  const given = [...fromEnvironment.overrides, ...commandLineOverrides(overrides)]
  const merged = override(raw, given)
  const { found, faults } = check(merged)
  const lines = [
    ...fromEnvironment.faults.map(fault => line(fault, fault.source)),
    ...faults.map(fault => line(fault, sourceOf(fault.path, given, file))),
  ]
  if (lines.length > 0) return { kind: 'faults', faults: lines }
  return { kind: 'config', config: toConfig(found as Settings, resolve(file)) }
}

/** `loadConfig` of a file on disk. */
export function readConfig(sources: Omit<ConfigSources, 'text'>): ConfigResult {
  const { file } = sources
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const problem = code === 'ENOENT' ? 'there is no such file' : message
    return { kind: 'faults', faults: [`${resolve(file)}: ${problem}`] }
  }
  return loadConfig({ ...sources, text })
}

/** Each setting by itself, so that no fault hides another, then what they must be together. */
function check(raw: RawSettings): { found: Partial<Settings>; faults: readonly Fault[] } {
  const shape: Readonly<Record<string, z.ZodType>> = settings.shape
  const found: Record<string, unknown> = {}
  const faults = Object.keys(raw)
    .filter(key => !Object.hasOwn(shape, key))
    .map(key => unknownKey([key]))
  for (const [key, schema] of Object.entries(shape)) {
    const result = schema.safeParse(raw[key], { reportInput: true })
    if (result.success) found[key] = result.data
    else faults.push(...result.error.issues.flatMap(issue => faultsOf(issue, [key])))
  }
  const settled = found as Partial<Settings>
  const { nodes } = raw
  return { found: settled, faults: [...faults, ...crossFaults(settled, nodes)] }
}

function line({ path, problem }: Fault, source: string): string {
  return `${source}: ${pathText(path)} ${problem}`
}

function toConfig(found: Settings, file: string): Config {
  const directory = dirname(file)
  const nodes = found.nodes.map(node => ({
    id: asNodeId(node.id),
    address: node.address,
    raftBind: node.raft_bind,
    gateway: node.gateway?.replace(/\/+$/, '') ?? null,
  }))
  const own = nodes.find(node => found.node_id === undefined || node.id === found.node_id)
  assert(own !== undefined, 'a checked configuration lists its own node')
  const raftDir = resolve(directory, found.raft_dir)
  const { snapshot, log, transport, server, edge, structure, limits } = found
  return {
    file,
    clusterName: found.cluster_name,
    nodeId: own.id,
    nodes,
    machine: PATH.test(found.machine) ? resolve(directory, found.machine) : found.machine,
    join: found.join === undefined ? null : { via: found.join, voter: found.voter },
    raftDir,
    inMemory: found.in_memory,
    electionTimeoutMs: found.election_timeout_ms,
    heartbeatIntervalMs: found.heartbeat_interval_ms,
    commitTimeoutMs: found.commit_timeout_ms,
    checkIntervalMs: found.check_interval_sec * 1000,
    repair: found.repair,
    snapshot: {
      enabled: snapshot.enabled,
      intervalSec: snapshot.snapshot_interval_sec,
      threshold: snapshot.snapshot_threshold,
      retain: snapshot.retain_snapshots,
    },
    log: {
      dir: log.log_dir === undefined ? join(raftDir, 'log') : resolve(directory, log.log_dir),
      trailingLogs: log.trailing_logs,
      level: log.level,
    },
    transport: { listen: transport.address ?? own.raftBind, timeoutSec: transport.timeout_sec },
    peers: credentialFiles(found, directory),
    peersOpen: found.peer_insecure ?? false,
    server: {
      listen: server.address ?? own.address,
      socket: server.socket === undefined ? null : resolve(directory, server.socket),
      socketMode: Number.parseInt(server.socket_mode, 8),
    },
    edge: {
      socket: edge.socket === undefined ? null : resolve(directory, edge.socket),
      prefixes: edge.prefixes,
    },
    structure: {
      enabled: structure.enabled,
      prefix: structure.prefix,
      gatewayAccess: structure.gateway_access,
    },
    limits: {
      keyBytesMax: limits.key_bytes_max,
      valueBytesMax: limits.value_bytes_max,
      bodyBytesMax: limits.body_bytes_max,
    },
  }
}

function credentialFiles(
  { peer_tls: tls, peer_secret_file: secret }: Settings,
  directory: string,
): CredentialFiles | null {
  if (secret !== undefined) return { kind: 'secret', file: resolve(directory, secret) }
  if (tls === undefined) return null
  const at = (file: string) => resolve(directory, file)
  return { kind: 'certificates', ca: at(tls.ca), cert: at(tls.cert), key: at(tls.key) }
}
