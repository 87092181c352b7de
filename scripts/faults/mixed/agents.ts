/** The agents of a run: who is meant to run, who may end, and how those ended that did. */

import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TestCluster } from '../../../agent/test/cluster/harness.ts'
import { agentPid, agentStatus, newestLeader, startAgent } from '../../lib/agent-server.ts'
import type { NodePlace } from '../../lib/layout.ts'
import { parseLogLine } from '../../lib/log-tail.ts'
import { kill, stop } from '../../lib/operations.ts'
import type { Started } from '../../lib/processes.ts'
import { Excuses } from './excuses.ts'

/** pino's level of what ends an agent */
const FATAL = 60
const POLL_MS = 20

export interface AgentsOptions {
  readonly cluster: TestCluster
  readonly env: (node: NodePlace) => Readonly<Record<string, string>>
  readonly onStarted: (id: string) => void
  readonly onViolation: (text: string) => void
}

export class Agents {
  readonly cluster: TestCluster
  readonly #options: AgentsOptions
  readonly #started = new Map<string, Started>()
  /** ended on purpose */
  readonly #down = new Set<string>()
  readonly #excuses = new Excuses()
  /** how those ended that did so by themselves, and were allowed to */
  readonly endings = new Map<string, number>()

  constructor(options: AgentsOptions) {
    this.cluster = options.cluster
    this.#options = options
  }

  get running(): readonly NodePlace[] {
    return this.cluster.nodes.filter(node => agentPid(node) !== null)
  }

  leader(): Promise<NodePlace | null> {
    return newestLeader(this.running)
  }

  /** kill -9, if it runs. */
  async kill(node: NodePlace): Promise<void> {
    this.#down.add(node.id)
    await kill(node)
  }

  /** SIGTERM, if it runs. */
  async stop(node: NodePlace): Promise<void> {
    if (agentPid(node) === null) return
    this.#down.add(node.id)
    const how = await stop(node)
    if (how === 'killed') this.#options.onViolation(`${node.id} did not end at SIGTERM`)
  }

  /** Unless it runs. */
  async start(node: NodePlace): Promise<void> {
    if (agentPid(node) !== null) return
    this.#options.onStarted(node.id)
    this.#started.set(node.id, await startAgent(node, this.#options.env(node)))
    this.#down.delete(node.id)
  }

  /** From now on, and until what it returns is called, it may end by itself. */
  allowEnd(node: NodePlace): () => void {
    return this.#excuses.allow(node.id)
  }

  /** Others end and start it. */
  leave({ id }: NodePlace): void {
    this.#down.add(id)
    this.#started.delete(id)
  }

  /** Until it is ready, or the time is over. */
  async becomesReady(node: NodePlace, withinMs: number): Promise<boolean> {
    const deadline = performance.now() + withinMs
    while (performance.now() < deadline) {
      if ((await agentStatus(node))?.ready === true) return true
      await sleep(POLL_MS)
    }
    return false
  }

  /** It was allowed to end: started until it serves, or the time is over. */
  async revive(node: NodePlace, withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs
    while (performance.now() < deadline && (await agentStatus(node)) === null) {
      if (agentPid(node) === null) await this.start(node)
      await sleep(POLL_MS)
    }
  }

  /** Starts those that have ended by themselves; where they were not allowed to, that is a violation. */
  async look(): Promise<void> {
    for (const node of this.cluster.nodes) {
      if (agentPid(node) !== null || this.#down.has(node.id)) continue
      await this.#judgeEnd(node)
      // It may be wanted down by now.
      if (!this.#down.has(node.id)) await this.start(node)
    }
  }

  async #judgeEnd(node: NodePlace): Promise<void> {
    const started = this.#started.get(node.id)
    const how = started === undefined ? 'nobody knows how' : (started.ended() ?? 'just now')
    const last = lastFatal(node)
    const ending = `${how}: ${last}`
    if (this.#excuses.cover(node.id, last)) {
      this.endings.set(ending, (this.endings.get(ending) ?? 0) + 1)
      return
    }
    this.#options.onViolation(`the agent of ${node.id} ended by itself, ${ending}`)
  }
}

function lastFatal({ agentLog }: NodePlace): string {
  const lines = readFileSync(agentLog, 'utf8').trimEnd().split('\n').slice(-200)
  const events = lines.flatMap(line => parseLogLine(line) ?? [])
  return events.findLast(({ level }) => level >= FATAL)?.msg ?? `see ${agentLog}`
}
