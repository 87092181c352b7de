import { type ChildProcess, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { endServers, familyPids, startServer, waitUntil } from './child-process.ts'
import { type Aim, type Cluster, MEMBERS, type Target } from './cluster.ts'
import type { Endpoint } from './job.ts'

/** This checkout. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

interface Node {
  readonly id: string
  readonly httpPort: number
  readonly gatewayPort: number
  readonly socket: string
  readonly agent: ChildProcess
  readonly nginx: ChildProcess | null
  readonly logFile: string
}

export interface AgentClusterOptions {
  /** a checkout that is built */
  readonly root: string
  readonly directory: string
  readonly basePort: number
  readonly withGateways: boolean
  /** given to node before the agent, such as `--cpu-prof` */
  readonly nodeArgs: readonly string[]
}

/** Three agents with default settings, each with its nginx where that is wanted. */
export async function startAgents(options: AgentClusterOptions): Promise<Cluster> {
  if (!existsSync(agentOf(options.root))) {
    throw new Error(`${options.root}: the agent is not built: npm run build`)
  }
  const nodes: Node[] = []
  const servers = () =>
    nodes.flatMap(({ agent, nginx }) => (nginx === null ? agent : [nginx, agent]))
  const stop = () => endServers(servers())
  try {
    for (const at of MEMBERS) nodes.push(startNode(options, at))
    const watched = nodes.map(({ agent, logFile }) => ({ child: agent, logFile }))
    await waitUntil('agents', watched, async () => (await leaderOf(nodes)) !== null)
    if (options.withGateways) {
      for (const node of nodes) {
        await waitUntil(`gateway of ${node.id}`, watched, () => isReady(node.gatewayPort))
      }
    }
  } catch (error) {
    await stop()
    throw error
  }
  return { aimAt: target => aimAt(nodes, target), stop }
}

function startNode(options: AgentClusterOptions, at: number): Node {
  const { root, directory, basePort } = options
  const id = `node${at}`
  const folder = join(directory, id)
  mkdirSync(folder, { recursive: true })
  const socket = join(folder, 'agent.sock')
  const config = join(folder, 'agent.json')
  const members = MEMBERS.map(member => ({
    id: `node${member}`,
    address: `127.0.0.1:${basePort + 10 + member}`,
    raft_bind: `127.0.0.1:${basePort + 20 + member}`,
    gateway: `http://127.0.0.1:${basePort + member}`,
  }))
  const settings = {
    cluster_name: 'bench',
    node_id: id,
    nodes: members,
    raft_dir: join(folder, 'raft'),
    server: { socket },
  }
  writeFileSync(config, JSON.stringify(settings, null, 2))
  const logFile = join(folder, 'agent.log')
  const args = [...options.nodeArgs, agentOf(options.root), '--config', config]
  const agent = startServer({ program: process.execPath, args, logFile })
  const gatewayPort = basePort + at
  const nginx = options.withGateways ? startGateway({ root, folder, config, gatewayPort }) : null
  return { id, httpPort: basePort + 10 + at, gatewayPort, socket, agent, nginx, logFile }
}

interface GatewayPlace {
  readonly root: string
  readonly folder: string
  readonly config: string
  readonly gatewayPort: number
}

function startGateway({ root, folder, config, gatewayPort }: GatewayPlace): ChildProcess {
  const prefix = join(folder, 'nginx')
  const listen = `127.0.0.1:${gatewayPort}`
  const render = join(root, 'agent/dist/gateway/render-main.js')
  const args = [render, '--config', config, '--prefix', prefix, '--listen', listen]
  const rendered = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (rendered.status !== 0) throw new Error(`nginx configuration: ${rendered.stderr}`)
  const program = existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx'
  const own = ['-p', prefix, '-c', join(prefix, 'nginx.conf'), '-g', 'daemon off;']
  return startServer({ program, args: own, logFile: join(folder, 'nginx.log') })
}

function agentOf(root: string): string {
  return join(root, 'agent/dist/main.js')
}

async function aimAt(nodes: readonly Node[], target: Target): Promise<Aim> {
  const leader = await leaderOf(nodes)
  if (leader === null) throw new Error('the agents have no leader')
  const follower = nodes.find(node => node !== leader) ?? leader
  const throughNginx = target === 'gateway' || target === 'gateway-follower'
  const gateways = throughNginx ? nodes.flatMap(({ nginx }) => nginx ?? []) : []
  return {
    dialect: 'raft-nginx',
    endpoint: endpointOf(target, leader, follower),
    serverPids: [...nodes.flatMap(({ agent }) => agent.pid ?? []), ...gateways.flatMap(familyPids)],
  }
}

function endpointOf(target: Target, leader: Node, follower: Node): Endpoint {
  const host = '127.0.0.1'
  if (target === 'agent-socket') return { kind: 'unix', path: leader.socket }
  if (target === 'gateway') return { kind: 'tcp', host, port: leader.gatewayPort }
  if (target === 'gateway-follower') return { kind: 'tcp', host, port: follower.gatewayPort }
  return { kind: 'tcp', host, port: leader.httpPort }
}

async function leaderOf(nodes: readonly Node[]): Promise<Node | null> {
  for (const node of nodes) {
    const answer = await fetch(`http://127.0.0.1:${node.httpPort}/status`)
    const status = (await answer.json()) as { readonly role?: string }
    if (status.role === 'leader') return node
  }
  return null
}

async function isReady(port: number): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${port}/readyz`)
  await answer.arrayBuffer()
  return answer.ok
}
