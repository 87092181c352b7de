/** Waits until what was started serves, and tells why it does not. */

import { setTimeout as sleep } from 'node:timers/promises'
import { agentStatus } from './agent-server.ts'
import { gatewayErrorLog, gatewayPid } from './gateway-server.ts'
import { agentUrl, gatewayUrl, type NodePlace, type Place, votersOf } from './layout.ts'
import { tailOf } from './log-tail.ts'
import { type Answer, probe } from './probe.ts'
import type { Started } from './processes.ts'

const POLL_MS = 50
const DEADLINE_MS = 30_000

/** Something that was started just now. */
export interface Awaited {
  readonly node: NodePlace
  readonly part: 'agent' | 'nginx'
  readonly started: Started
}

export interface Awaiting {
  readonly begun: readonly Awaited[]
  /** this node only; else all of them */
  readonly only?: NodePlace
  /** an answer is enough: no leader can be expected */
  readonly merelyAlive?: boolean
  readonly signal: AbortSignal | null
}

/** A node that the others do not let take part: no waiting makes it ready. */
export interface Refused {
  readonly node: NodePlace
  readonly reason: string
}

/**
 * @returns who was refused, if the others are a majority and ready without
 * @throws Error when something that was started ends, or is not ready in time; with the end of its log
 */
export async function awaitReady(place: Place, awaiting: Awaiting): Promise<readonly Refused[]> {
  const all = awaiting.only === undefined ? place.nodes : [awaiting.only]
  const deadline = performance.now() + DEADLINE_MS
  for (;;) {
    const refused = await refusedOf(awaiting.only === undefined ? all : [])
    const spared = refused.length * 2 < votersOf(place).length ? refused : []
    const nodes = all.filter(node => !spared.some(each => each.node === node))
    const waiting = await firstNotReady(nodes, awaiting)
    if (waiting === null) return spared
    awaiting.signal?.throwIfAborted()
    const dead = awaiting.begun.find(({ started }) => started.ended() !== null)
    if (dead !== undefined) {
      const { node, part, started } = dead
      throw new Error(`the ${part} of ${node.id} ended: ${started.ended()}\n${logsOf(node, part)}`)
    }
    if (performance.now() > deadline) {
      const { node, part, reason } = waiting
      const problem = `the ${part} of ${node.id} is not ready after ${DEADLINE_MS / 1000} s`
      throw new Error(`${problem}: ${reason}\n${logsOf(node, part)}`)
    }
    await sleep(POLL_MS)
  }
}

async function refusedOf(nodes: readonly NodePlace[]): Promise<readonly Refused[]> {
  const statuses = await Promise.all(nodes.map(agentStatus))
  return nodes.flatMap((node, at) => {
    const link = statuses[at]?.links.find(({ stranger }) => stranger)
    return link === undefined ? [] : [{ node, reason: link.lastError ?? 'refused' }]
  })
}

interface NotReady {
  readonly node: NodePlace
  readonly part: 'agent' | 'nginx'
  readonly reason: string
}

async function firstNotReady(
  nodes: readonly NodePlace[],
  { begun, merelyAlive }: Awaiting,
): Promise<NotReady | null> {
  const path = merelyAlive ? '/livez' : '/readyz'
  const checks = nodes.flatMap(node => {
    const parts: [NotReady['part'], string][] = [['agent', agentUrl(node)]]
    if (gatewayPid(node) !== null) parts.push(['nginx', gatewayUrl(node)])
    return parts.map(([part, base]) => ({ node, part, url: base + path }))
  })
  // nginx by itself is not asked whether its agent lives
  const nginxOnly = begun.length > 0 && begun.every(({ part }) => part === 'nginx')
  for (const { node, part, url } of checks) {
    if (part === 'agent' && nginxOnly && merelyAlive) continue
    const answer = await probe(url)
    if (nginxOnly && merelyAlive && answer !== null) continue
    if (answer?.status !== 200) return { node, part, reason: reasonOf(url, answer) }
  }
  return null
}

function reasonOf(url: string, answer: Answer | null): string {
  if (answer === null) return `no answer from ${url}`
  return `${url} answers ${answer.status}: ${answer.body.trim().slice(0, 300)}`
}

function logsOf(node: NodePlace, part: 'agent' | 'nginx'): string {
  if (part === 'agent') return tailOf(node.agentLog)
  return [tailOf(node.nginxLog), tailOf(gatewayErrorLog(node)), tailOf(node.agentLog)].join('\n')
}
