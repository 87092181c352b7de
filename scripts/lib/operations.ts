/** What can be done to a cluster of this machine. Each returns when it holds, or throws with the reason. */

import { mkdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  agentPid,
  agentServer,
  startAgent,
  wipeAgentData,
  writeAgentConfig,
} from './agent-server.ts'
import { gatewayPid, gatewayServer, renderGateway, startGateway } from './gateway-server.ts'
import { type NodePlace, type Place, savedPlace, savePlace, votersOf } from './layout.ts'
import { portTakenBy } from './ports.ts'
import {
  commandLine,
  endServer,
  groupEnds,
  isPaused,
  killServer,
  processesUsing,
  signalGroup,
} from './processes.ts'
import { type Awaited, awaitReady, type Refused } from './ready.ts'

/** A clean stop takes less than 2 s. */
export const GRACE_MS = 4_000

/** The same for all nodes, or for each its own. */
export type Settings =
  | Readonly<Record<string, unknown>>
  | ((node: NodePlace) => Readonly<Record<string, unknown>>)

export interface UpOptions {
  /** for the agents' configuration, beside or instead of the usual */
  readonly settings?: Settings
  /** set when the user gives up waiting */
  readonly signal?: AbortSignal
}

export interface Up {
  /** whether anything was started */
  readonly began: boolean
  /** runs, and takes no part */
  readonly refused: readonly Refused[]
}

/** Starts what does not run. When that fails, what it started is ended again. */
export async function up(place: Place, options: UpOptions = {}): Promise<Up> {
  checkSameCluster(place)
  checkNotPaused(place)
  const idle = place.nodes.filter(node => agentPid(node) === null)
  const closed = place.shape.nginx ? place.nodes.filter(node => gatewayPid(node) === null) : []
  await checkPorts(idle, closed)
  mkdirSync(place.directory, { recursive: true })
  savePlace(place)
  const { settings = {} } = options
  const extra = (node: NodePlace) => (typeof settings === 'function' ? settings(node) : settings)
  for (const node of idle) writeAgentConfig(place, node, extra(node))
  for (const node of closed) renderGateway(place, node)
  const begun: Awaited[] = []
  try {
    for (const node of idle) begun.push({ node, part: 'agent', started: await startAgent(node) })
    for (const node of closed)
      begun.push({ node, part: 'nginx', started: await startGateway(node) })
    const refused = await awaitReady(place, { begun, signal: options.signal ?? null })
    return { began: begun.length > 0, refused }
  } catch (error) {
    await Promise.all(begun.map(({ node, part }) => endServer(serverOf(node, part), GRACE_MS)))
    throw error
  }
}

/** Ends every process of the cluster, paused ones too. @returns how many it ended */
export async function down(directory: string): Promise<number> {
  const place = savedPlace(directory)
  const nodes = place?.nodes ?? []
  // nginx first, so that no client meets a gateway without its agent
  const gateways = await Promise.all(nodes.map(node => endServer(gatewayServer(node), GRACE_MS)))
  const agents = await Promise.all(nodes.map(node => endServer(agentServer(node), GRACE_MS)))
  const strays = processesUsing(directory).filter(pid => isOurs(commandLine(pid)))
  for (const pid of strays) process.kill(pid, 'SIGKILL')
  for (const pid of strays) await groupEnds(pid, GRACE_MS)
  return [...gateways, ...agents].filter(end => end !== 'none').length + strays.length
}

/** kill -9. @returns false when it did not run */
export function kill(node: NodePlace): Promise<boolean> {
  return killServer(agentServer(node))
}

/** SIGTERM, and kill -9 where that does not end it in time. */
export function stop(node: NodePlace): Promise<'ended' | 'killed' | 'none'> {
  return endServer(agentServer(node), GRACE_MS)
}

/** Starts the agent of a node. Without a majority of agents it cannot become ready, so it is only waited for its answer. */
export async function start(place: Place, node: NodePlace): Promise<'ready' | 'no quorum' | 'ran'> {
  if (agentPid(node) !== null) return 'ran'
  await checkPorts([node], [])
  const begun: Awaited = { node, part: 'agent', started: await startAgent(node) }
  const voters = votersOf(place)
  const running = voters.filter(other => {
    const pid = agentPid(other)
    return pid !== null && !isPaused(pid)
  })
  const quorum = running.length > voters.length / 2
  await awaitReady(place, { begun: [begun], only: node, merelyAlive: !quorum, signal: null })
  return quorum ? 'ready' : 'no quorum'
}

/** SIGSTOP: it keeps its connections and says nothing. */
export function pause(node: NodePlace): void {
  signalGroup(pidOr(agentPid(node), `the agent of ${node.id}`), 'SIGSTOP')
}

export function resume(node: NodePlace): void {
  signalGroup(pidOr(agentPid(node), `the agent of ${node.id}`), 'SIGCONT')
}

/** Ends the agent and removes its data, so that it comes back as a stranger. */
export async function wipe(node: NodePlace): Promise<void> {
  await stop(node)
  wipeAgentData(node)
}

/** kill -9 of nginx and its workers. @returns false when it did not run */
export function killGateway(node: NodePlace): Promise<boolean> {
  return killServer(gatewayServer(node))
}

/** @returns false when it ran already */
export async function startNginx(place: Place, node: NodePlace): Promise<boolean> {
  if (gatewayPid(node) !== null) return false
  await checkPorts([], [node])
  renderGateway(place, node)
  const begun: Awaited = { node, part: 'nginx', started: await startGateway(node) }
  await awaitReady(place, { begun: [begun], only: node, merelyAlive: true, signal: null })
  return true
}

/** Renders anew, tests, and tells nginx, which goes on with the requests it has. */
export async function reloadGateway(place: Place, node: NodePlace): Promise<void> {
  const pid = pidOr(gatewayPid(node), `the nginx of ${node.id}`)
  renderGateway(place, node)
  process.kill(pid, 'SIGHUP')
  // nginx says nowhere that it has done so; a second reload right behind would pile up workers
  await sleep(200)
}

export function isRunning({ nodes }: Place): boolean {
  return nodes.some(node => agentPid(node) !== null || gatewayPid(node) !== null)
}

function serverOf(node: NodePlace, part: Awaited['part']) {
  return part === 'agent' ? agentServer(node) : gatewayServer(node)
}

/** What holds a file below the directory may also be an editor or `tail -f`: those are left alone. */
function isOurs(commandLine: string): boolean {
  return commandLine.startsWith('nginx: ') || commandLine.includes('agent/dist/main.js --config ')
}

function pidOr(pid: number | null, what: string): number {
  if (pid === null) throw new Error(`${what} does not run`)
  return pid
}

/** Another number of founders is another cluster. */
function checkSameCluster(place: Place): void {
  const saved = savedPlace(place.directory)
  if (saved === null) return
  const { shape, directory } = saved
  if (shape.nodes !== place.shape.nodes) {
    const advice = 'cluster add and cluster remove change it; for another one use another --data'
    throw new Error(`${directory} holds a cluster that ${shape.nodes} nodes founded: ${advice}`)
  }
  const differs = JSON.stringify(shape) !== JSON.stringify(place.shape)
  if (differs && isRunning(saved)) {
    throw new Error(`a cluster runs in ${directory} with other options: cluster down first`)
  }
}

function checkNotPaused({ nodes }: Place): void {
  for (const node of nodes) {
    const pid = agentPid(node)
    if (pid !== null && isPaused(pid)) {
      throw new Error(`the agent of ${node.id} is paused: cluster resume ${node.id}`)
    }
  }
}

export async function checkPorts(
  idle: readonly NodePlace[],
  closed: readonly NodePlace[],
): Promise<void> {
  // A host of its own has no other cluster's servers.
  const here = (node: NodePlace) => node.namespace === null
  const wanted = [
    ...closed.filter(here).map(node => ({ port: node.gatewayPort, what: `nginx of ${node.id}` })),
    ...idle.filter(here).flatMap(node => [
      { port: node.httpPort, what: `agent of ${node.id}` },
      { port: node.raftPort, what: `agent of ${node.id}, Raft` },
    ]),
  ]
  const taken = await Promise.all(
    wanted.map(async ({ port, what }) => ({ port, what, by: await portTakenBy(port) })),
  )
  const faults = taken.flatMap(({ port, what, by }) =>
    by === null ? [] : `port ${port} (${what}) is taken by ${by}`,
  )
  if (faults.length > 0) throw new Error(faults.join('\n'))
}
