/** Agents and gateways that end, stand still, or start anew. */

import { agentPid } from '../../../lib/agent-server.ts'
import { gatewayPid } from '../../../lib/gateway-server.ts'
import type { NodePlace } from '../../../lib/layout.ts'
import { killGateway, reloadGateway, startNginx } from '../../../lib/operations.ts'
import { operate } from '../../../lib/operator.ts'
import { childrenOf, signalGroup } from '../../../lib/processes.ts'
import type { Fault, Field, Maker } from '../field.ts'

const READY_MS = 10_000
const TRANSFER_MS = 5_000

const NOTHING_LEFT = async () => undefined

export const killAgent: Maker = async field => {
  const node = await field.victim()
  if (node === null) return null
  const release = field.take(node)
  await field.agents.kill(node)
  return started(field, [node], `kill -9 of ${node.id}`, [release])
}

export const killAll: Maker = async field => {
  const nodes = field.free
  if (nodes.length === 0) return null
  const releases = nodes.map(node => field.take(node))
  await Promise.all(nodes.map(node => field.agents.kill(node)))
  return started(field, nodes, `kill -9 of ${namesOf(nodes)}`, releases)
}

export const pauseAgent: Maker = async field => {
  const node = await field.victim()
  const pid = node === null ? null : agentPid(node)
  if (node === null || pid === null) return null
  const release = field.take(node)
  signalGroup(pid, 'SIGSTOP')
  return {
    what: `SIGSTOP of ${node.id}`,
    heal: async () => {
      signalGroup(pid, 'SIGCONT')
      release()
    },
  }
}

export const transfer: Maker = async field => {
  const nodes = field.free
  if (nodes.length < 2) return null
  const target = field.chance.oneOf(nodes)
  const body = JSON.stringify({ id: target.id })
  const request = { method: 'POST', body, timeoutMs: TRANSFER_MS }
  const asked = operate(field.chance.oneOf(nodes), '/v1/cluster/leader', request)
  const answer = await asked.catch(() => null)
  if (answer?.status === 401) throw new Error(`an operator is refused: ${answer.body}`)
  return {
    what: `leadership to ${target.id}: ${answer?.status ?? 'no answer'}`,
    heal: NOTHING_LEFT,
  }
}

/** One after the other, each waited for, as for an upgrade. */
export const rollingRestart: Maker = async field => {
  const nodes = field.free
  if (nodes.length === 0) return null
  const releases = nodes.map(node => field.take(node))
  const done = (async () => {
    for (const [at, node] of nodes.entries()) {
      await field.agents.stop(node)
      await field.agents.start(node)
      await field.agents.becomesReady(node, READY_MS)
      releases[at]?.()
    }
  })()
  // What it throws is told when it is healed.
  done.catch(() => undefined)
  return { what: `restart of ${namesOf(nodes)}, one after the other`, heal: () => done }
}

export const reloadNginx: Maker = async field => {
  const nodes = field.agents.cluster.nodes.filter(node => gatewayPid(node) !== null)
  if (nodes.length === 0) return null
  const node = field.chance.oneOf(nodes)
  try {
    await reloadGateway(field.agents.cluster.place, node)
  } catch (error) {
    // Whoever leaves ends its nginx.
    if (gatewayPid(node) === null) return null
    throw error
  }
  return { what: `reload of the nginx of ${node.id}`, heal: NOTHING_LEFT }
}

export const killNginx: Maker = async field => {
  const nodes = field.free.filter(node => gatewayPid(node) !== null)
  if (nodes.length === 0) return null
  const node = field.chance.oneOf(nodes)
  const master = gatewayPid(node)
  const [worker] = master === null ? [] : childrenOf(master)
  if (worker !== undefined && field.chance.happens(0.5)) {
    process.kill(worker, 'SIGKILL')
    return { what: `kill -9 of a worker of the nginx of ${node.id}`, heal: NOTHING_LEFT }
  }
  const release = field.take(node)
  await killGateway(node)
  return {
    what: `kill -9 of the nginx of ${node.id}`,
    heal: async () => {
      await startNginx(field.agents.cluster.place, node)
      release()
    },
  }
}

function started(
  field: Field,
  nodes: readonly NodePlace[],
  what: string,
  releases: readonly (() => void)[],
): Fault {
  return {
    what,
    heal: async () => {
      for (const node of nodes) await field.agents.start(node)
      for (const release of releases) release()
    },
  }
}

function namesOf(nodes: readonly NodePlace[]): string {
  return nodes.map(({ id }) => id).join(' ')
}
