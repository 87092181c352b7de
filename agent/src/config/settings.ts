import { z } from 'zod'
import { parseHostPort } from '../lib/host-port.ts'
import { AGENT_SOCKET_BYTES_MAX } from '../os/socket-path.ts'
import { NODE_ID } from '../raft/types.ts'

/**
 * Every setting as it stands in the file, with its unit, range and default. One that says
 * "not used" is accepted, so that files which have it load.
 */

const flag = z.boolean()
const whole = (min: number, max: number) => z.int().min(min).max(max)
const path = z.string().min(1)

const name = (words: string) =>
  z.string().regex(NODE_ID, `${words} of 1 to 64 characters A-Z a-z 0-9 . _ -`)

/** What others dial: a host and a port. */
const dialled = z.string().refine(text => {
  const address = parseHostPort(text)
  return text.length <= 255 && address !== null && address.host !== '' && address.port > 0
}, 'must be host:port')

/** What is listened on: the host may be empty (all interfaces), the port 0 (any free one). */
const listened = z
  .string()
  .refine(text => parseHostPort(text) !== null, 'must be host:port or :port')

/** Peers tell each other, in a field of this length. */
const baseUrl = z.string().refine(text => {
  if (!/^[!-~]{1,255}$/.test(text) || !URL.canParse(text)) return false
  const { protocol, search, hash, username } = new URL(text)
  return ['http:', 'https:'].includes(protocol) && search + hash + username === ''
}, 'must be a URL like http://host:8100')

const node = z.strictObject({
  id: name('must be a name').describe('Name of the node, unique in the cluster.'),
  address: dialled.describe('HTTP of its agent, host:port.'),
  raft_bind: dialled.describe('Port of its agent for the other agents, host:port.'),
  gateway: baseUrl.optional().describe('Base URL of its nginx, as clients see it. Default: none.'),
})

const snapshot = z.strictObject({
  enabled: flag
    .default(true)
    .describe('Whether entries leave the log once the state machine has them; false keeps all.'),
  snapshot_interval_sec: whole(1, 604_800)
    .default(120)
    .describe('Seconds between looks whether the log can be shortened.'),
  snapshot_threshold: whole(1, 1e9)
    .default(8_192)
    .describe('Entries that at least leave the log at once.'),
  retain_snapshots: whole(1, 1_000)
    .default(2)
    .describe('Snapshots that are kept, of those made for nodes that were behind.'),
})

const log = z.strictObject({
  log_dir: path.optional().describe('Directory of the Raft log. Default: log in raft_dir.'),
  trailing_logs: whole(0, 1e9)
    .default(10_240)
    .describe('Entries that stay in the log although they could go, for nodes that lag.'),
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('Lowest level that is written to the process log.'),
})

const transport = z.strictObject({
  type: z.literal('tcp').default('tcp').describe('How agents reach each other.'),
  max_pool: whole(1, 1_000)
    .default(3)
    .describe('Not used: two agents need one connection in each direction.'),
  timeout_sec: whole(1, 600)
    .default(5)
    .describe('Seconds after which a peer that does not answer counts as gone.'),
  address: listened
    .optional()
    .describe('Where to listen for peers, if it differs. Default: the raft_bind of this node.'),
})

/** Linux has 107; the socket of the relay is beside it, with a longer name. */
const agentSocket = path
  .refine(
    text => Buffer.byteLength(text) <= AGENT_SOCKET_BYTES_MAX,
    `must have at most ${AGENT_SOCKET_BYTES_MAX} bytes`,
  )
  .optional()

const server = z.strictObject({
  address: listened
    .optional()
    .describe('Where HTTP is listened for. Default: the address of this node.'),
  socket: agentSocket.describe(
    'Unix socket for the nginx of this node; with proven peers one more, with `.relay`. Default: none.',
  ),
  socket_mode: z
    .string()
    .regex(/^0?[0-7]{3}$/, 'must be an octal mode like "0660"')
    .default('0660')
    .describe('File mode of both, octal.'),
})

const edge = z.strictObject({
  socket: path
    .refine(text => Buffer.byteLength(text) <= 107, 'must have at most 107 bytes')
    .optional()
    .describe('Unix socket where the nginx of this node takes what was applied. Default: none.'),
  prefixes: z
    .array(z.string().min(1).max(512))
    .max(100)
    .default([])
    .describe('What keys begin with that nginx is to have. Default: all keys.'),
})

const structure = z.strictObject({
  enabled: flag
    .default(false)
    .describe("Whether keys become nginx's configuration: who may write them has root's rights."),
  prefix: z
    .string()
    .max(128)
    .regex(/^(?!.*(?:^|\/)\.{1,2}\/)(?:[A-Za-z0-9._-]+\/)+$/, 'must be like "nginx/"')
    .default('nginx/')
    .describe('What those keys begin with, the same on every node.'),
  gateway_access: flag
    .default(false)
    .describe('Whether clients read and write them through gateways too. Dangerous.'),
})

const limits = z.strictObject({
  key_bytes_max: whole(1, 65_536).default(512).describe('Longest key, bytes.'),
  value_bytes_max: whole(1, 8_388_608).default(524_288).describe('Longest value, bytes.'),
  body_bytes_max: whole(1, 8_388_608)
    .default(1_048_576)
    .describe('Longest body of a request, bytes; also bounds an entry of the log.'),
})

const peerTls = z.strictObject({
  ca: path.describe('PEM file of the certificate authorities whose nodes are let in.'),
  cert: path.describe('PEM file of the certificate of this node; `raft-nginx tls init` makes one.'),
  key: path.describe('PEM file of its private key; not readable by everybody.'),
})

export const settings = z.strictObject({
  cluster_name: z
    .string()
    .regex(/^[!-~]{1,64}$/, 'must be 1 to 64 printable ASCII characters without spaces')
    .default('raft-nginx')
    .describe('Agents of different clusters refuse each other.'),
  node_id: name('must be a name')
    .optional()
    .describe('Which of `nodes` this agent is. Default: the only one.'),
  nodes: z
    .array(node)
    .min(1)
    .describe('All voters of a new cluster, the same on each; with `join`, this node at least.'),
  join: z
    .array(dialled)
    .min(1)
    .optional()
    .describe('HTTP addresses of agents of the cluster that this node enters. Default: none.'),
  voter: flag
    .default(true)
    .describe('With `join`: false asks for a node that is fed and read, and never votes.'),
  machine: path
    .default('sqlite-kv')
    .describe('The state machine: sqlite-kv, sql, level-kv, or the path of a module.'),
  raft_dir: path.default('raft-data').describe('Data directory of this node.'),
  in_memory: flag.default(false).describe('Keep nothing on disk: for demonstrations and tests.'),
  election_timeout_ms: whole(50, 600_000)
    .default(1_000)
    .describe('Without a leader for one to two times this long, ms, a node campaigns.'),
  heartbeat_interval_ms: whole(5, 200_000)
    .default(100)
    .describe('Milliseconds between heartbeats; at most a third of election_timeout_ms.'),
  commit_timeout_ms: whole(100, 600_000)
    .default(10_000)
    .describe('After this long, ms, a write that is not committed is answered as unknown.'),
  check_interval_sec: whole(0, 86_400)
    .default(10)
    .describe(
      'Seconds between two comparisons of all machines, if something was written; 0: never.',
    ),
  repair: z
    .enum(['auto', 'never'])
    .default('auto')
    .describe('Whether a damaged disk of this node is mended at its start, from the other nodes.'),
  bootstrap_expect: whole(1, 1_000)
    .optional()
    .describe('If given, must be the number of `nodes`, unless `single_node` is true.'),
  single_node: flag.optional().describe('If true, `nodes` must have exactly one.'),
  snapshot: snapshot
    .prefault({})
    .describe('When the log is shortened; who lacks what is gone gets a snapshot.'),
  log: log.prefault({}).describe('The Raft log and the process log.'),
  transport: transport.prefault({}).describe('Between agents.'),
  peer_tls: peerTls
    .optional()
    .describe('Agents know each other by certificates. Read again at SIGHUP. Default: none.'),
  peer_secret_file: path
    .optional()
    .describe('Agents know each other by what this file holds, in place of certificates.'),
  peer_insecure: flag
    .default(false)
    .describe(
      'Whoever reaches raft_bind is taken for an agent, on networks that others reach too.',
    ),
  server: server.prefault({}).describe('HTTP of this agent.'),
  edge: edge.prefault({}).describe('Reads that nginx answers by itself.'),
  structure: structure.prefault({}).describe("Keys that become nginx's configuration."),
  limits: limits.prefault({}).describe('Limits of requests.'),
})

export type Settings = z.infer<typeof settings>

/** The part of a JSON schema that names keys and types. */
export interface SettingShape {
  readonly type?: string
  readonly description?: string
  readonly properties?: Readonly<Record<string, SettingShape>>
  readonly items?: SettingShape
}

/** Keys and types of all settings, as a tree. */
export const settingShape = z.toJSONSchema(settings, { io: 'input' }) as SettingShape

/** What is known at a path; null if nothing. */
export function shapeAt(path: readonly PropertyKey[]): SettingShape | null {
  let shape: SettingShape | undefined = settingShape
  for (const key of path) {
    const properties: Readonly<Record<string, SettingShape>> = shape?.properties ?? {}
    if (typeof key === 'number') shape = shape?.items
    else shape = Object.hasOwn(properties, key) ? properties[String(key)] : undefined
  }
  return shape ?? null
}
