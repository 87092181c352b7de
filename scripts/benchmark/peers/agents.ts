import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  endServers,
  familyPids,
  type RunningServer,
  startServer,
  waitUntil,
} from '../child-process.ts'
import {
  type Aim,
  type Attempt,
  type Cluster,
  type Member,
  type Target,
  WRITTEN,
} from '../cluster.ts'
import type { Endpoint } from '../job.ts'
import type { LoadName } from '../loads.ts'
import { KNOWN } from '../requests.ts'
import { type GatewayPlace, startGateway } from './gateways.ts'
import { type Requests, StartedMember } from './members.ts'
import { askJson } from './probe.ts'

/** This checkout. */
export const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const HOST = '127.0.0.1'
const JSON_TYPE = { 'content-type': 'application/json' }
const VALUE = 'x'.repeat(100)

/** Ports of the nodes' several servers, from the base port. */
const PORTS = { gateway: 0, http: 40, raft: 80, redirect: 120 }

interface Node {
  readonly member: StartedMember
  readonly id: string
  readonly httpPort: number
  readonly gatewayPort: number
  readonly redirectPort: number
  readonly socket: string
}

export interface AgentClusterOptions {
  /** a checkout that is built */
  readonly root: string
  readonly directory: string
  readonly basePort: number
  /** voters */
  readonly nodes: number
  /** nodes that are fed and never vote */
  readonly learners: number
  /** which nginx; null for none */
  readonly nginx: { readonly program: string; readonly memory: boolean } | null
  /** a second nginx a node, in redirect mode */
  readonly redirect: boolean
  /** given to node before the agent, such as `--cpu-prof` */
  readonly nodeArgs: readonly string[]
  /** for the agents' configuration, beside the usual */
  readonly settings: Readonly<Record<string, unknown>>
}

/** Agents with default settings, each with its nginx where that is wanted. */
export class AgentCluster implements Cluster {
  readonly #options: AgentClusterOptions
  readonly nodes: Node[] = []
  readonly #gateways: RunningServer[] = []

  private constructor(options: AgentClusterOptions) {
    this.#options = options
  }

  static async start(options: AgentClusterOptions): Promise<AgentCluster> {
    if (!existsSync(agentOf(options.root))) {
      throw new Error(`${options.root}: the agent is not built: npm run build`)
    }
    const cluster = new AgentCluster(options)
    try {
      await cluster.#start()
    } catch (error) {
      await cluster.stop()
      throw error
    }
    return cluster
  }

  async #start(): Promise<void> {
    const { nodes, learners } = this.#options
    for (let at = 0; at < nodes; at += 1) this.nodes.push(this.#startNode(at))
    await this.ready()
    for (let at = nodes; at < nodes + learners; at += 1) {
      this.nodes.push(this.#startNode(at))
      await this.ready()
    }
    for (const node of this.nodes.slice(0, nodes)) await this.#startGateways(node)
  }

  /** @throws Error unless each agent says in time that it takes part */
  async ready(): Promise<void> {
    await waitUntil('agents', this.#servers(), async () => {
      const all = await Promise.all(this.nodes.map(({ httpPort }) => isReady(httpPort)))
      return all.every(Boolean)
    })
  }

  async aimAt(target: Target, load: LoadName): Promise<Aim> {
    const leader = await this.#leader()
    const follower = this.nodes.find(node => node !== leader) ?? leader
    const gateways = THROUGH_NGINX.has(target) ? this.#gateways : []
    if (EDGES.has(target) && load === 'edge-reads') await untilFromMemory(follower)
    return {
      dialect: 'raft-nginx',
      endpoint: await endpointOf(target, leader, follower),
      serverPids: [
        ...this.nodes.map(({ member }) => member.pid),
        ...gateways.flatMap(({ child }) => familyPids(child)),
      ],
    }
  }

  members(): readonly Member[] {
    return this.nodes.map(({ member }) => member)
  }

  async leader(): Promise<Member> {
    return (await this.#leader()).member
  }

  async stop(): Promise<void> {
    await endServers([...this.#gateways, ...this.#servers()].map(({ child }) => child))
  }

  #servers(): RunningServer[] {
    return this.nodes.map(({ member }) => member.server)
  }

  async #leader(): Promise<Node> {
    for (const node of this.nodes) {
      const { role } = (await askJson(`http://${HOST}:${node.httpPort}/status`)) ?? {}
      if (role === 'leader') return node
    }
    throw new Error('the agents have no leader')
  }

  #startNode(at: number): Node {
    const { root, directory, basePort, nodeArgs, nodes, nginx, settings } = this.#options
    const id = `node${at}`
    const folder = join(directory, id)
    mkdirSync(folder, { recursive: true })
    const founders = Array.from({ length: nodes }, (_, member) => memberOf(basePort, member))
    const joining = at >= nodes
    const own = {
      cluster_name: 'bench',
      node_id: id,
      nodes: joining ? [...founders, memberOf(basePort, at)] : founders,
      ...(joining ? { join: founders.map(({ address }) => address), voter: false } : {}),
      raft_dir: join(folder, 'raft'),
      server: { socket: socketOf(folder) },
      ...(nginx?.memory && !joining ? { edge: { socket: edgeSocketOf(folder) } } : {}),
    }
    writeFileSync(configOf(folder), JSON.stringify({ ...own, ...settings }, null, 2))
    const logFile = join(folder, 'agent.log')
    const args = [...nodeArgs, agentOf(root), '--config', configOf(folder)]
    const start = () => ({
      child: startServer({ program: process.execPath, args, logFile }),
      logFile,
    })
    const httpPort = basePort + PORTS.http + at
    return {
      ...{ id, httpPort, socket: socketOf(folder) },
      member: new StartedMember(start, requestsOf(httpPort)),
      gatewayPort: basePort + PORTS.gateway + at,
      redirectPort: basePort + PORTS.redirect + at,
    }
  }

  async #startGateways(node: Node): Promise<void> {
    const { root, directory, nginx, redirect } = this.#options
    if (nginx === null) return
    const folder = join(directory, node.id)
    const common = { ...{ root, folder, nginx }, config: configOf(folder) }
    const edgeSocket = nginx.memory ? edgeSocketOf(folder) : null
    const places: GatewayPlace[] = [
      { ...common, name: 'nginx', port: node.gatewayPort, mode: 'proxy', edgeSocket },
    ]
    if (redirect) {
      const other = { name: 'nginx-redirect', port: node.redirectPort, mode: 'redirect' } as const
      places.push({ ...common, ...other, edgeSocket: null })
    }
    for (const place of places) {
      const gateway = startGateway(place)
      this.#gateways.push(gateway)
      await waitUntil(`${place.name} of ${node.id}`, [gateway], () => isReady(place.port))
    }
  }
}

const THROUGH_NGINX: ReadonlySet<Target> = new Set([
  'gateway',
  'gateway-follower',
  'gateway-redirect',
  'edge',
  'edge-pipelined',
])
/** Out of nginx's memory. */
const EDGES: ReadonlySet<Target> = new Set(['edge', 'edge-pipelined'])

function memberOf(basePort: number, at: number) {
  return {
    id: `node${at}`,
    address: `${HOST}:${basePort + PORTS.http + at}`,
    raft_bind: `${HOST}:${basePort + PORTS.raft + at}`,
    gateway: `http://${HOST}:${basePort + PORTS.gateway + at}`,
  }
}

function agentOf(root: string): string {
  return join(root, 'agent/dist/main.js')
}

function configOf(folder: string): string {
  return join(folder, 'agent.json')
}

function socketOf(folder: string): string {
  return join(folder, 'agent.sock')
}

function edgeSocketOf(folder: string): string {
  return join(folder, 'edge.sock')
}

async function endpointOf(target: Target, leader: Node, follower: Node): Promise<Endpoint> {
  const tcp = (port: number): Endpoint => ({ kind: 'tcp', host: HOST, port })
  switch (target) {
    case 'agent-socket':
      return { kind: 'unix', path: leader.socket }
    case 'gateway':
      return tcp(leader.gatewayPort)
    case 'gateway-follower':
    case 'edge':
    case 'edge-pipelined':
      return tcp(follower.gatewayPort)
    case 'gateway-redirect':
      return tcp(await redirectedFrom(follower.redirectPort))
    default:
      return tcp(leader.httpPort)
  }
}

/** What a client learns from its first write. */
async function redirectedFrom(port: number): Promise<number> {
  const { url, ...request } = writeTo(port, VALUE)
  const answer = await fetch(url, { ...request, redirect: 'manual' })
  await answer.arrayBuffer()
  const location = answer.headers.get('location')
  if (location === null) throw new Error(`a follower's nginx did not redirect: ${answer.status}`)
  return Number(new URL(location).port)
}

/** @throws Error with what the agent says of nginx's memory */
async function untilFromMemory({ gatewayPort, httpPort, member }: Node): Promise<void> {
  try {
    await waitUntil("nginx's memory", [member.server], async () => {
      const answer = await fetch(`http://${HOST}:${gatewayPort}/key/${KNOWN}?stale`)
      await answer.arrayBuffer()
      return answer.headers.get('x-raft-served-by') === 'nginx'
    })
  } catch (cause) {
    const { edge } = (await askJson(`http://${HOST}:${httpPort}/status`)) ?? {}
    throw new Error(`nginx answers nothing from its memory: ${JSON.stringify(edge)}`, { cause })
  }
}

function requestsOf(port: number): Requests {
  const url = `http://${HOST}:${port}/key/${KNOWN}?consistent`
  return {
    port,
    write: value => writeTo(port, value),
    read: () => ({ url, method: 'GET', headers: {}, body: null }),
  }
}

function writeTo(port: number, value: string): Attempt {
  const body = JSON.stringify({ [WRITTEN]: value })
  return { url: `http://${HOST}:${port}/key`, method: 'POST', headers: JSON_TYPE, body }
}

async function isReady(port: number): Promise<boolean> {
  const answer = await fetch(`http://${HOST}:${port}/readyz`)
  await answer.arrayBuffer()
  return answer.ok
}
