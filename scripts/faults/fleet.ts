/** The agents of a cluster that is made to crash: who runs, who ended, and whether that was meant. */

import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FaultPoint, PlannedCrash } from '../../agent/src/node/fault-points.ts'
import type { TestCluster } from '../../agent/test/cluster/harness.ts'
import { agentPid, newestLeader, startAgent } from '../lib/agent-server.ts'
import type { NodePlace } from '../lib/layout.ts'
import { parseLogLine } from '../lib/log-tail.ts'
import { kill, stop } from '../lib/operations.ts'
import type { Started } from '../lib/processes.ts'
import type { Disks } from './disks.ts'

/** How its end becomes known after it is gone, ms. */
const EXIT_POLL_MS = 5
/** pino's level of what ends an agent */
const FATAL = 60

interface Life {
  readonly started: Started
  /** where it is to end itself */
  readonly crash: PlannedCrash | null
}

export interface FleetOptions {
  readonly cluster: TestCluster
  /** where each node's disk loses its power when its agent ends */
  readonly disks: Disks | null
  /** of every agent that is started again */
  readonly env: Readonly<Record<string, string>>
  readonly onViolation: (text: string) => void
}

export class Fleet {
  readonly cluster: TestCluster
  /** agents that ended by SIGKILL, whoever sent it */
  kills = 0
  /** how often an agent ended itself there */
  readonly reached = new Map<FaultPoint, number>()
  /** power cuts of a node's disk */
  cuts = 0
  readonly #disks: Disks | null
  readonly #env: Readonly<Record<string, string>>
  readonly #onViolation: (text: string) => void
  readonly #lives = new Map<string, Life>()
  /** ended, and meant to */
  readonly #down = new Set<string>()

  constructor({ cluster, disks, env, onViolation }: FleetOptions) {
    this.cluster = cluster
    this.#disks = disks
    this.#env = env
    this.#onViolation = onViolation
  }

  get running(): readonly NodePlace[] {
    return this.cluster.nodes.filter(node => agentPid(node) !== null)
  }

  /** Those that end themselves sooner or later. */
  get armed(): readonly NodePlace[] {
    return this.running.filter(node => this.#crashOf(node) !== null)
  }

  /** Where they do so. */
  get planned(): readonly FaultPoint[] {
    return this.running.flatMap(node => this.#crashOf(node)?.point ?? [])
  }

  /** Those to be started; who ended without being meant to is a violation. */
  async down(): Promise<readonly NodePlace[]> {
    const gone = this.cluster.nodes.filter(node => agentPid(node) === null)
    for (const node of gone) if (!this.#down.has(node.id)) await this.#ended(node)
    return gone
  }

  leader(): Promise<NodePlace | null> {
    return newestLeader(this.running)
  }

  /** kill -9 of those of them that run, at once; where disks can lose their power, those do so first. @param lingerMs how long agents go on without their disks */
  async kill(nodes: readonly NodePlace[], lingerMs = 0): Promise<void> {
    const victims = nodes.filter(node => agentPid(node) !== null)
    // Without its disk it may end by itself before it is killed: that is no fault of it.
    if (this.#disks !== null) for (const node of victims) this.#down.add(node.id)
    if (this.#disks !== null) {
      await this.#disks.cut(victims.map(({ dataDirectory }) => dataDirectory))
      await sleep(lingerMs)
    }
    await Promise.all(
      victims.map(async node => {
        const killed = await kill(node)
        if (killed) this.kills += 1
        if (killed) this.#down.add(node.id)
        await this.#repower(node)
      }),
    )
  }

  /** SIGTERM. */
  async stop(node: NodePlace): Promise<void> {
    if (agentPid(node) === null) return
    const how = await stop(node)
    this.#down.add(node.id)
    if (how === 'killed') this.#onViolation(`${node.id} did not end at SIGTERM`)
  }

  async start(node: NodePlace, crash: PlannedCrash | null = null): Promise<void> {
    const fail = crash === null ? {} : { RAFT_NGINX_FAIL: `${crash.point}:kill@${crash.at}` }
    const env = { ...this.#env, ...fail }
    this.#lives.set(node.id, { started: await startAgent(node, env), crash })
    this.#down.delete(node.id)
  }

  /** It was removed and added again, by others than this. */
  forget(node: NodePlace): void {
    this.#lives.delete(node.id)
    this.#down.delete(node.id)
  }

  #crashOf({ id }: NodePlace): PlannedCrash | null {
    return this.#lives.get(id)?.crash ?? null
  }

  /** What it had not fsynced is gone. */
  async #repower({ dataDirectory }: NodePlace): Promise<void> {
    if (this.#disks === null) return
    await this.#disks.restore(dataDirectory)
    this.cuts += 1
  }

  async #ended(node: NodePlace): Promise<void> {
    this.#down.add(node.id)
    const life = this.#lives.get(node.id)
    const how = await endOf(life?.started)
    if (how === 'signal SIGKILL' && life !== undefined && life.crash !== null) {
      const { point } = life.crash
      this.kills += 1
      this.reached.set(point, (this.reached.get(point) ?? 0) + 1)
      await this.#disks?.cut([node.dataDirectory])
      await this.#repower(node)
      return
    }
    this.#onViolation(`the agent of ${node.id} ended by itself, ${how}: ${lastFatal(node)}`)
  }
}

async function endOf(started: Started | undefined): Promise<string> {
  if (started === undefined) return 'nobody knows how'
  for (;;) {
    const how = started.ended()
    if (how !== null) return how
    await sleep(EXIT_POLL_MS)
  }
}

function lastFatal({ agentLog }: NodePlace): string {
  const lines = readFileSync(agentLog, 'utf8').trimEnd().split('\n')
  const events = lines.flatMap(line => parseLogLine(line) ?? [])
  return events.findLast(({ level }) => level >= FATAL)?.msg ?? `see ${agentLog}`
}
