/** What a cluster looks like right now. */

import { type AgentStatus, agentPid, agentStatus } from './agent-server.ts'
import { gatewayPid } from './gateway-server.ts'
import { agentUrl, gatewayUrl, type NodePlace, type Place, type Shape } from './layout.ts'
import { probe } from './probe.ts'
import { isPaused } from './processes.ts'

/** Of a table's cell. */
const REASON_CHARACTERS = 70

interface NodeView {
  readonly id: string
  readonly agent: 'running' | 'paused' | 'stopped'
  readonly agentPid: number | null
  readonly agentUrl: string
  /** null when it does not answer */
  readonly status: AgentStatus | null
  readonly nginx: 'running' | 'stopped' | 'none'
  readonly nginxPid: number | null
  readonly gatewayUrl: string | null
  /** `GET /readyz` through nginx, or of the agent where there is none */
  readonly ready: boolean
}

export interface ClusterView {
  readonly directory: string
  readonly shape: Shape
  /** as most nodes see it: null when none knows */
  readonly leader: string | null
  readonly nodes: readonly NodeView[]
}

export async function viewCluster({ directory, shape, nodes }: Place): Promise<ClusterView> {
  const views = await Promise.all(nodes.map(node => viewNode(node, shape)))
  return { directory, shape, leader: leaderOf(views), nodes: views }
}

/** A table for people. */
export function statusText({ directory, shape, leader, nodes }: ClusterView): string {
  const header = ['node', 'agent', 'role', 'term', 'applied', 'ready', 'nginx', 'gateway']
  const rows = nodes.map(node => [
    node.id,
    node.agentPid === null ? node.agent : `${node.agent} (${node.agentPid})`,
    roleOf(node),
    String(node.status?.term ?? '-'),
    String(node.status?.appliedIndex ?? '-'),
    node.ready ? 'yes' : `no${node.status?.notReady ? `: ${short(node.status.notReady)}` : ''}`,
    node.nginxPid === null ? node.nginx : `${node.nginx} (${node.nginxPid})`,
    node.gatewayUrl ?? '-',
  ])
  const kind = `${nodes.length} nodes, ${shape.inMemory ? 'in memory' : 'durable'}`
  const title = `${directory}: ${kind}, write mode ${shape.writeMode}, leader ${leader ?? 'unknown'}`
  return `${title}\n${table([header, ...rows])}`
}

/** The whole sentence is in `--json`. */
function short(text: string): string {
  return text.length <= REASON_CHARACTERS ? text : `${text.slice(0, REASON_CHARACTERS)}…`
}

/** What it is in the cluster, where that is more than a voter's part in an election. */
function roleOf({ id, status }: NodeView): string {
  if (status === null) return '-'
  const role = status.members.find(member => member.id === id)?.role
  return role === undefined || role === 'voter' ? status.role : role
}

async function viewNode(node: NodePlace, { nginx }: Shape): Promise<NodeView> {
  const pid = agentPid(node)
  const paused = pid !== null && isPaused(pid)
  const nginxPid = gatewayPid(node)
  const asked = pid !== null && !paused
  const [status, ready] = await Promise.all([
    asked ? agentStatus(node) : null,
    asked ? probe(`${nginx ? gatewayUrl(node) : agentUrl(node)}/readyz`) : null,
  ])
  return {
    id: node.id,
    agent: pid === null ? 'stopped' : paused ? 'paused' : 'running',
    agentPid: pid,
    agentUrl: agentUrl(node),
    status,
    nginx: !nginx ? 'none' : nginxPid === null ? 'stopped' : 'running',
    nginxPid,
    gatewayUrl: nginx ? gatewayUrl(node) : null,
    ready: ready?.status === 200,
  }
}

/** A leader that was cut off may still call itself one: the highest term is right. */
function leaderOf(views: readonly NodeView[]): string | null {
  const known = views.flatMap(({ status }) => (status?.leader.id ? [status] : []))
  known.sort((a, b) => b.term - a.term)
  return known[0]?.leader.id ?? null
}

function table(rows: readonly (readonly string[])[]): string {
  const columns = rows[0]?.length ?? 0
  const widths = Array.from({ length: columns }, (_, at) =>
    Math.max(...rows.map(row => row[at]?.length ?? 0)),
  )
  const line = (row: readonly string[]) =>
    `  ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd()
  return rows.map(line).join('\n')
}
