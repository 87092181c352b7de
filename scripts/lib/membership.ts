/** Nodes that come to a running cluster of this machine, and nodes that leave it. */

import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { agentPid, agentServer, agentStatus, startAgent, writeAgentConfig } from './agent-server.ts'
import { gatewayPid, gatewayServer, renderGateway, startGateway } from './gateway-server.ts'
import {
  type NodePlace,
  nodeOf,
  nodePlace,
  type Place,
  placeOf,
  type Shape,
  savePlace,
} from './layout.ts'
import { tailOf } from './log-tail.ts'
import { checkPorts, GRACE_MS, reloadGateway } from './operations.ts'
import { operate } from './operator.ts'
import { endServer } from './processes.ts'
import { type Awaited, awaitReady } from './ready.ts'

const POLL_MS = 50
const DEADLINE_MS = 30_000
const NUMBER_MAX = 99

export interface AddOptions {
  /** it is fed and read, and never votes */
  readonly edge?: boolean
  /** for the agent's configuration, beside or instead of the usual */
  readonly settings?: Readonly<Record<string, unknown>>
}

/**
 * Starts a node that joins, and returns the cluster with it once it votes, or as an edge is fed. The other
 * gateways are rendered anew, so that they keep connections to it as well.
 * @throws Error with the reason; then what was started is ended again
 */
export async function add(place: Place, id: string, options: AddOptions = {}): Promise<Place> {
  const { edge = false, settings = {} } = options
  const number = numberOf(id)
  if (place.nodes.some(node => node.id === id)) {
    throw new Error(
      `${id} belongs to the cluster already; a wiped one has to leave first: cluster remove ${id}`,
    )
  }
  const { directory, shape } = place
  const joined = [...shape.joined, { number, edge }]
  const next = placeOf(directory, { ...shape, joined })
  const node = nodeOf(next, id)
  if (existsSync(node.dataDirectory)) {
    throw new Error(`${id} has data of an earlier life: cluster wipe ${id} removes it`)
  }
  await checkPorts([node], shape.nginx ? [node] : [])
  writeAgentConfig(next, node, settings)
  const begun: Awaited[] = []
  try {
    begun.push({ node, part: 'agent', started: await startAgent(node) })
    if (shape.nginx) {
      renderGateway(next, node)
      begun.push({ node, part: 'nginx', started: await startGateway(node) })
    }
    await awaitReady(next, { begun, only: node, signal: null })
    await hasRole(node, edge ? 'edge' : 'voter')
  } catch (error) {
    await end(node)
    await askOnceToRemove(place, node)
    throw error
  }
  savePlace(next)
  await reloadOthers(next, node)
  return next
}

/** Has the cluster let a node go, and ends its processes; its data stays. @returns the cluster without it */
export async function remove(place: Place, id: string): Promise<Place> {
  const node = nodeOf(place, id)
  const number = numberOf(id)
  const { directory, shape } = place
  await askToRemove(place, node)
  const next = placeOf(directory, {
    ...shape,
    joined: shape.joined.filter(each => each.number !== number),
    left: node.entry === 'founder' ? [...shape.left, number] : shape.left,
  })
  await end(node)
  savePlace(next)
  await reloadOthers(next, node)
  return next
}

/** A node of this cluster, also one that has left it. */
export function anyNodeOf(place: Place, id: string): NodePlace {
  const present = place.nodes.find(node => node.id === id)
  return present ?? nodePlace(place.directory, place.shape, numberOf(id))
}

function numberOf(id: string): Shape['nodes'] {
  const number = Number(/^node(0|[1-9][0-9]?)$/.exec(id)?.[1] ?? Number.NaN)
  if (number <= NUMBER_MAX) return number
  throw new Error(`${id}: nodes are called node0 to node${NUMBER_MAX}`)
}

async function end(node: NodePlace): Promise<void> {
  // nginx first, so that no client meets a gateway without its agent
  await endServer(gatewayServer(node), GRACE_MS)
  await endServer(agentServer(node), GRACE_MS)
}

async function hasRole(node: NodePlace, wanted: string): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  for (;;) {
    const status = await agentStatus(node)
    const role = status?.members.find(member => member.id === node.id)?.role
    if (role === wanted) return
    if (performance.now() > deadline) {
      const what = `${node.id} is ${role ?? 'no member'} after ${DEADLINE_MS / 1000} s, not ${wanted}`
      throw new Error(`${what}\n${tailOf(node.agentLog)}`)
    }
    await sleep(POLL_MS)
  }
}

/** One agent after the other, since the leader may be the one that leaves: it hands over first, and has to be asked again. */
async function askToRemove(place: Place, node: NodePlace): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  let reason = 'no agent of another node runs'
  for (;;) {
    for (const other of place.nodes) {
      if (other === node || agentPid(other) === null) continue
      const answer = await requestRemoval(other, node)
      if (answer.status === 200) return
      if (answer.status === 409) throw new Error(`${node.id} stays: ${answer.reason}`)
      reason = answer.reason
    }
    if (performance.now() > deadline) throw new Error(`${node.id} is not removed: ${reason}`)
    await sleep(POLL_MS)
  }
}

/** What did not come is not to stay a member, nor to become one later. */
async function askOnceToRemove(place: Place, node: NodePlace): Promise<void> {
  for (const other of place.nodes) {
    if (agentPid(other) === null) continue
    if ((await requestRemoval(other, node)).status === 200) return
  }
}

async function requestRemoval(
  via: NodePlace,
  node: NodePlace,
): Promise<{ readonly status: number; readonly reason: string }> {
  try {
    const request = { method: 'DELETE', timeoutMs: DEADLINE_MS }
    const { status, body } = await operate(via, `/v1/cluster/members/${node.id}`, request)
    const { detail } = JSON.parse(body) as { readonly detail?: string }
    return { status, reason: `${via.id} answers ${status}: ${detail}` }
  } catch (error) {
    return { status: 0, reason: error instanceof Error ? error.message : String(error) }
  }
}

async function reloadOthers(place: Place, but: NodePlace): Promise<void> {
  const running = place.nodes.filter(node => node.id !== but.id && gatewayPid(node) !== null)
  await Promise.all(running.map(node => reloadGateway(place, node)))
}
