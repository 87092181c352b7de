/** Where a cluster of this machine keeps what, and which ports it has. */

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')

/** Below the 107 bytes that a unix socket's path may have, so that a suffix fits. */
const SOCKET_BYTES_MAX = 100

/** What a cluster was started with; kept beside its data, so that later commands need not be told again. */
export interface Shape {
  /** how many founded it */
  readonly nodes: number
  /** who was added since, by number */
  readonly joined: readonly Joined[]
  /** founders that were removed since, by number */
  readonly left: readonly number[]
  readonly basePort: number
  readonly writeMode: WriteMode
  readonly inMemory: boolean
  readonly nginx: boolean
  /** name of a state machine that ships, or absolute path of a module */
  readonly machine: string
  /** a restored one has a name of its own */
  readonly clusterName: string
  /** every node is a host of its own (`scripts/net/hosts.ts`), and these are the first numbers of its address; null: all have loopback's */
  readonly network: string | null
  /** how its agents know each other; `open`: they do not */
  readonly peers: 'open' | 'secret' | 'tls'
}

/** `edge`: it never votes. */
export interface Joined {
  readonly number: number
  readonly edge: boolean
}

/** `mixed`: every other gateway redirects */
type WriteMode = 'proxy' | 'redirect' | 'mixed'

export const DEFAULT_SHAPE: Shape = {
  nodes: 3,
  joined: [],
  left: [],
  basePort: 8100,
  writeMode: 'proxy',
  inMemory: false,
  nginx: true,
  machine: 'sqlite-kv',
  clusterName: 'raft-nginx',
  network: null,
  peers: 'open',
}

/** One node's files and ports. */
export interface NodePlace {
  readonly id: string
  /** of a new cluster, or added to one that runs */
  readonly entry: 'founder' | 'voter' | 'edge'
  /** its address */
  readonly host: string
  /** network namespace of its processes; null: this program's own */
  readonly namespace: string | null
  readonly writeMode: 'proxy' | 'redirect'
  readonly directory: string
  readonly configFile: string
  readonly dataDirectory: string
  readonly agentLog: string
  readonly agentPidFile: string
  /** of its nginx */
  readonly prefix: string
  readonly nginxLog: string
  readonly nginxPidFile: string
  readonly socket: string
  /** where its nginx takes what was applied: whoever reaches it can write what nginx answers */
  readonly edgeSocket: string
  readonly gatewayPort: number
  readonly httpPort: number
  readonly raftPort: number
}

/** A cluster's directory, by its real path: running processes are recognised by it. */
export interface Place {
  readonly directory: string
  readonly shape: Shape
  readonly nodes: readonly NodePlace[]
}

export function defaultDirectory(): string {
  return join(ROOT, '.cluster')
}

/** What nginx's configuration can name without doubt. */
const PLAIN = /^[A-Za-z0-9._/@+,=-]*$/

/** Makes the directory where it is missing, and gives its real path. */
export function clusterDirectory(given: string): string {
  const directory = resolve(given)
  for (const [path, advice] of [
    [ROOT, 'move the checkout'],
    [directory, 'choose another with --data'],
  ] as const) {
    if (PLAIN.test(path)) continue
    throw new Error(
      `${path}: only A-Z a-z 0-9 . _ / @ + , = - can stand in a path here, since nginx's configuration has to name it: ${advice}`,
    )
  }
  mkdirSync(directory, { recursive: true })
  return realpathSync(directory)
}

/** @param directory a real path */
export function placeOf(directory: string, shape: Shape): Place {
  const founders = Array.from({ length: shape.nodes }, (_, at) => at)
    .filter(at => !shape.left.includes(at))
    .map(at => nodePlace(directory, shape, at))
  const joined = shape.joined.map(({ number, edge }) =>
    nodePlace(directory, shape, number, edge ? 'edge' : 'voter'),
  )
  return { directory, shape, nodes: [...founders, ...joined] }
}

/** Those that vote, or are to. */
export function votersOf({ nodes }: Place): readonly NodePlace[] {
  return nodes.filter(node => node.entry !== 'edge')
}

/** The cluster that was started in this directory; null when none was. */
export function savedPlace(directory: string): Place | null {
  const file = shapeFile(directory)
  if (!existsSync(file)) return null
  const saved = JSON.parse(readFileSync(file, 'utf8')) as Partial<Shape>
  const shape: Shape = { ...DEFAULT_SHAPE, ...saved }
  return placeOf(realpathSync(directory), shape)
}

export function savePlace({ directory, shape }: Place): void {
  writeFileSync(shapeFile(directory), `${JSON.stringify(shape, null, 2)}\n`)
}

/** @throws Error that names the nodes there are */
export function nodeOf(place: Place, id: string): NodePlace {
  const node = place.nodes.find(node => node.id === id)
  if (node === undefined) {
    throw new Error(`there is no ${id}: ${place.nodes.map(node => node.id).join(', ')}`)
  }
  return node
}

/** Where clients come in. */
export function gatewayUrl({ host, gatewayPort }: NodePlace): string {
  return `http://${host}:${gatewayPort}`
}

/** The agent's own HTTP, for operators. */
export function agentUrl({ host, httpPort }: NodePlace): string {
  return `http://${host}:${httpPort}`
}

/** How the members are reached, as one node has to know it: an edge never leads, so that only its own gateway does. */
export function memberList({ nodes, shape }: Place, node: NodePlace) {
  const members = nodes.filter(member => member.entry !== 'edge' || member === node)
  return members.map(member => ({
    id: member.id,
    address: `${member.host}:${member.httpPort}`,
    raft_bind: `${member.host}:${member.raftPort}`,
    ...(shape.nginx ? { gateway: gatewayUrl(member) } : {}),
  }))
}

/** The configuration of one agent. */
export function agentSettings(place: Place, node: NodePlace): Record<string, unknown> {
  const others = place.nodes.filter(member => member !== node)
  const join = others.map(({ host, httpPort }) => `${host}:${httpPort}`)
  return {
    cluster_name: place.shape.clusterName,
    node_id: node.id,
    nodes: memberList(place, node),
    ...(node.entry === 'founder' ? {} : { join, voter: node.entry === 'voter' }),
    raft_dir: node.dataDirectory,
    machine: place.shape.machine,
    in_memory: place.shape.inMemory,
    server: { socket: node.socket },
  }
}

function shapeFile(directory: string): string {
  return join(directory, 'cluster.json')
}

export function nodePlace(
  cluster: string,
  { basePort, network, writeMode }: Pick<Shape, 'basePort' | 'network' | 'writeMode'>,
  at: number,
  entry: NodePlace['entry'] = 'founder',
): NodePlace {
  const id = `node${at}`
  const directory = join(cluster, id)
  const port = basePort + 100 * at
  return {
    id,
    entry,
    host: network === null ? '127.0.0.1' : `${network}.${at + 1}`,
    namespace: network === null ? null : id,
    writeMode: writeMode === 'mixed' ? (at % 2 === 0 ? 'proxy' : 'redirect') : writeMode,
    directory,
    configFile: join(directory, 'agent.json'),
    dataDirectory: network === null ? join(directory, 'data') : join(directory, 'disk/data'),
    agentLog: join(directory, 'agent.log'),
    agentPidFile: join(directory, 'agent.pid'),
    prefix: join(directory, 'nginx'),
    nginxLog: join(directory, 'nginx.log'),
    nginxPidFile: join(directory, 'nginx.pid'),
    socket: socketOf(cluster, `${id}/agent.sock`, `${id}.sock`),
    edgeSocket: socketOf(cluster, `${id}/nginx/run/edge.sock`, `${id}-edge.sock`),
    gatewayPort: port,
    httpPort: port + 85,
    raftPort: port + 86,
  }
}

/** In the cluster's directory, or under a short path where that one is too long for a socket. */
function socketOf(cluster: string, name: string, shortName: string): string {
  const digest = createHash('sha256').update(cluster).digest('hex').slice(0, 12)
  const { XDG_RUNTIME_DIR: runtime } = process.env
  const short = join(`raft-nginx-${digest}`, shortName)
  const choices = [join(cluster, name), ...(runtime ? [join(runtime, short)] : [])]
  const fits = (path: string) => Buffer.byteLength(path) <= SOCKET_BYTES_MAX
  return choices.find(fits) ?? join('/tmp', short)
}
