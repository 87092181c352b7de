import { resolve } from 'node:path'
import type { Command } from 'commander'
import { type Config, readConfig } from '../config.ts'
import { parseHostPort } from '../lib/host-port.ts'
import { asNodeId, NODE_ID, type NodeId } from '../raft/types.ts'
import { CertificateFiles, type Shown, showCertificates } from '../tls/certificate-files.ts'
import { type Context, say, table } from './context.ts'
import { failed, misused } from './exit.ts'
import { asCount, several } from './options.ts'
import type { Run } from './run.ts'

const DEFAULT_CLUSTER = 'raft-nginx'
const CA_DAYS = 3650
const DAY_MS = 86_400_000

const EPILOGUE = `
The directory then holds ca.pem and ca.key, and NODE.pem and NODE.key for each node. A node needs ca.pem and its own
pair; ca.key stays with whoever adds nodes. In the node's configuration:

  "peer_tls": { "ca": "tls/ca.pem", "cert": "tls/node0.pem", "key": "tls/node0.key" }
`

interface InitOptions {
  readonly dir: string
  readonly nodes?: readonly string[]
  readonly config?: string
  readonly clusterName?: string
  readonly days: number
}

type AddOptions = Omit<InitOptions, 'nodes' | 'clusterName'>

/** `tls init|add|show` */
export function addTlsCommands(program: Command, run: Run): void {
  const tls = program.command('tls').description('certificates by which agents know each other')
  tls
    .command('init')
    .description('make a CA, unless there is one, and a certificate for each node that has none')
    .option('--dir <directory>', 'where they are kept', 'tls')
    .option('--nodes <names>', 'such as node0,node1,node2', several)
    .option('--config <file>', "an agent's configuration: its cluster, nodes and their addresses")
    .option('--cluster-name <name>', `default: that of --config, or ${DEFAULT_CLUSTER}`)
    .option('--days <days>', 'how long a certificate of a node is good', asCount, 365)
    .addHelpText('after', EPILOGUE)
    .action(run(init))
  tls
    .command('add')
    .description('make certificates for more nodes')
    .argument('<node...>')
    .option('--dir <directory>', 'where the CA is', 'tls')
    .option('--config <file>', "an agent's configuration, for the addresses of the nodes")
    .option('--days <days>', 'how long they are good', asCount, 365)
    .action(run(add))
  tls
    .command('show')
    .description('what certificates say, and how long they are good')
    .argument('[file...]', 'default: all in --dir')
    .option('--dir <directory>', 'where they are', 'tls')
    .action(run(show))
}

async function init(context: Context, options: InitOptions): Promise<void> {
  const config = configOf(context, options.config)
  const ids = options.nodes ?? config?.nodes.map(({ id }) => id)
  if (ids === undefined) throw misused('which nodes? --nodes a,b,c or --config FILE')
  const nodes = ids.map(nodeId)
  const cluster = options.clusterName ?? config?.clusterName ?? DEFAULT_CLUSTER
  if (!/^[!-~]{1,64}$/.test(cluster)) throw misused('--cluster-name: 1 to 64 printable characters')
  await inWords(async () => {
    const files = new CertificateFiles(options.dir)
    const lines: string[] = []
    if (!files.hasAuthority) {
      const { makeAuthority } = await import('../tls/authority.ts')
      const pair = await makeAuthority({ cluster, from: new Date(), days: CA_DAYS })
      lines.push(`${files.write('ca', pair).certificate}  CA of cluster ${cluster}`)
    } else if (files.authority.cluster !== cluster) {
      throw new Error(
        `the CA in ${options.dir} is for cluster ${files.authority.cluster}, not ${cluster}`,
      )
    }
    lines.push(...(await makeMissing(files, nodes, { config, days: options.days })))
    tell(context, files, lines)
  })
}

async function add(context: Context, ids: readonly string[], options: AddOptions): Promise<void> {
  const config = configOf(context, options.config)
  const nodes = ids.map(nodeId)
  await inWords(async () => {
    const files = new CertificateFiles(options.dir)
    tell(context, files, await makeMissing(files, nodes, { config, days: options.days }))
  })
}

function show(context: Context, given: readonly string[], { dir }: { dir: string }): Promise<void> {
  return inWords(async () => {
    const files = given.length > 0 ? given : new CertificateFiles(dir).list()
    say(context, ...shown(files.flatMap(showCertificates)))
  })
}

interface Making {
  readonly config: Config | null
  readonly days: number
}

/** @returns a line for each node */
async function makeMissing(
  files: CertificateFiles,
  nodes: readonly NodeId[],
  { config, days }: Making,
): Promise<readonly string[]> {
  if (days < 1) throw new Error('--days must be at least 1')
  const { cluster, ...authority } = files.authority
  const { makeNode } = await import('../tls/authority.ts')
  const lines: string[] = []
  for (const node of nodes) {
    if (files.hasNode(node)) {
      lines.push(`${node} has a certificate already, which stays`)
      continue
    }
    const request = { cluster, node, hosts: hostsOf(config, node), from: new Date(), days }
    const { certificate } = files.write(node, await makeNode(authority, request))
    lines.push(`${certificate}  ${node}, good for ${days} days`)
  }
  return lines
}

/** By which HTTP may reach it. */
function hostsOf(config: Config | null, node: NodeId): readonly string[] {
  const found = config?.nodes.find(({ id }) => id === node)
  const hosts = [found?.address, found?.raftBind].map(text => parseHostPort(text ?? '')?.host ?? '')
  return [...new Set(hosts.filter(host => host !== ''))]
}

/** What is to be made may be named in it already, or be missing yet. */
function configOf({ env }: Context, file: string | undefined): Config | null {
  if (file === undefined) return null
  const asIs = readConfig({ file, env, overrides: {} })
  if (asIs.kind === 'config') return asIs.config
  const open = readConfig({ file, env, overrides: { peer_insecure: true } })
  if (open.kind === 'config') return open.config
  throw failed(asIs.faults.join('\n'))
}

function tell(context: Context, files: CertificateFiles, lines: readonly string[]): void {
  const [value] = shown(files.list().flatMap(showCertificates))
  say(context, value, lines.join('\n'))
}

function shown(certificates: readonly Shown[]): [unknown, string] {
  const days = ({ until }: Shown) => Math.floor((until.getTime() - Date.now()) / DAY_MS)
  const left = (one: Shown) => (days(one) < 0 ? 'expired' : `${days(one)} days`)
  const rows = certificates.map(one => [
    one.file,
    one.subject.replaceAll('\n', ', '),
    one.names,
    one.until.toISOString().slice(0, 10),
    left(one),
  ])
  const value = certificates.map(one => ({ ...one, file: resolve(one.file), days: days(one) }))
  return [value, table([['FILE', 'SUBJECT', 'NAMES', 'UNTIL', 'LEFT'], ...rows])]
}

function nodeId(text: string): NodeId {
  if (!NODE_ID.test(text)) throw misused(`${text} is no name of a node`)
  return asNodeId(text)
}

async function inWords(task: () => Promise<void>): Promise<void> {
  try {
    await task()
  } catch (error) {
    throw failed(error instanceof Error ? error.message : String(error))
  }
}
