/** The agent of one node, as a process. */

import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { AGENT_PROGRAM, buildOf } from './builds.ts'
import { hasMemory } from './gateway-server.ts'
import { agentSettings, agentUrl, type NodePlace, type Place } from './layout.ts'
import { peerSettings } from './peers.ts'
import { probe } from './probe.ts'
import { runningPid, type Server, type Started, startServer } from './processes.ts'

export function agentServer({ agentPidFile, configFile }: NodePlace): Server {
  return { pidFile: agentPidFile, mark: `${AGENT_PROGRAM} --config ${configFile}` }
}

/** @param extra settings beside or instead of the usual ones */
export function writeAgentConfig(
  place: Place,
  node: NodePlace,
  extra: Readonly<Record<string, unknown>> = {},
): void {
  mkdirSync(node.directory, { recursive: true })
  for (const socket of [node.socket, node.edgeSocket]) makeFolderOf(socket)
  const memory = place.shape.nginx && hasMemory()
  const edge = memory ? { edge: { socket: node.edgeSocket } } : {}
  const settings = {
    ...agentSettings(place, node),
    ...peerSettings(place, node),
    ...edge,
    ...extra,
  }
  writeFileSync(node.configFile, `${JSON.stringify(settings, null, 2)}\n`)
}

function makeFolderOf(socket: string): void {
  const folder = dirname(socket)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  // below /tmp somebody else may have been first
  if (statSync(folder).uid !== process.getuid?.()) {
    throw new Error(`${folder} belongs to somebody else`)
  }
}

/** Starts the agent; it may take a while until it serves. */
export async function startAgent(
  node: NodePlace,
  env: Readonly<Record<string, string>> = {},
): Promise<Started> {
  const main = join(buildOf(node), AGENT_PROGRAM)
  if (!existsSync(main)) throw new Error('the agent is not built: npm run build')
  if (!existsSync(node.configFile)) throw new Error(`${node.configFile} is missing: cluster up`)
  return startServer(agentServer(node), {
    program: process.execPath,
    args: [main, '--config', node.configFile],
    logFile: node.agentLog,
    env,
    namespace: node.namespace,
  })
}

/** The agent forgets all it knew: when it comes back the others do not know it. */
export function wipeAgentData(node: NodePlace): void {
  rmSync(node.dataDirectory, { recursive: true, force: true })
}

/** The part of `GET /status` that is shown and waited for. */
export interface AgentStatus {
  readonly role: string
  readonly term: number
  readonly leader: { readonly id: string }
  readonly commitIndex: number
  readonly appliedIndex: number
  /** over all that was applied up to its index */
  readonly chain: { readonly index: number; readonly hash: string }
  readonly ready: boolean
  readonly notReady: string
  readonly links: readonly { readonly lastError: string | null; readonly stranger: boolean }[]
  readonly members: readonly { readonly id: string; readonly role: string }[]
}

export async function agentStatus(node: NodePlace): Promise<AgentStatus | null> {
  const answer = await probe(`${agentUrl(node)}/status`)
  return answer?.status === 200 ? (JSON.parse(answer.body) as AgentStatus) : null
}

export function agentPid(node: NodePlace): number | null {
  return runningPid(agentServer(node))
}

/** Which of them leads in the newest term, if it says so itself. */
export async function newestLeader(nodes: readonly NodePlace[]): Promise<NodePlace | null> {
  const all = await Promise.all(
    nodes.map(async node => ({ node, status: await agentStatus(node) })),
  )
  const leaders = all.filter(({ status }) => status?.role === 'leader')
  leaders.sort((a, b) => (b.status?.term ?? 0) - (a.status?.term ?? 0))
  return leaders[0]?.node ?? null
}
