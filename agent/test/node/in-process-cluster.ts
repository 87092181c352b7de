import { setTimeout as pause } from 'node:timers/promises'
import { SystemClock } from '../../src/clock/system-clock.ts'
import { MemoryLogStore } from '../../src/log/memory-log-store.ts'
import { RaftNode } from '../../src/node/node.ts'
import type { Outcome } from '../../src/node/outcome.ts'
import type { QuarantineMark } from '../../src/node/quarantine.ts'
import { asNodeId, type NodeId } from '../../src/raft/types.ts'
import { MemoryNetwork } from '../../src/transport/memory-transport.ts'
import { ListMachine } from './list-machine.ts'
import { unshortened } from './unshortened.ts'

export { ListMachine }

export interface Replica {
  readonly id: NodeId
  readonly node: RaftNode<null, readonly string[]>
  readonly machine: ListMachine
  readonly log: MemoryLogStore
  readonly fatal: unknown[]
}

export interface ClusterOptions {
  readonly machineOf?: (id: NodeId) => ListMachine
  /** Default: machines are not compared. */
  readonly checkIntervalMs?: number
  readonly markOf?: (id: NodeId) => QuarantineMark
}

const silent = { info: () => {}, warn: () => {}, error: () => {} }

/** Whole nodes in one process: real loop, real clock with short times, no disk and no sockets. */
export class InProcessCluster {
  readonly network = new MemoryNetwork()
  readonly replicas: Replica[] = []

  static async start(size: number, options: ClusterOptions = {}): Promise<InProcessCluster> {
    const cluster = new InProcessCluster()
    const ids = Array.from({ length: size }, (_, at) => asNodeId(`n${at + 1}`))
    for (const id of ids) cluster.replicas.push(cluster.#replica(id, ids, options))
    for (const { node } of cluster.replicas) await node.start()
    return cluster
  }

  /** The one leader that a majority follows. */
  async leader(): Promise<Replica> {
    return eventually('a leader that a majority follows', () => {
      const statuses = this.replicas.map(({ node }) => node.status())
      return this.replicas.find(
        ({ id }, at) =>
          statuses[at]?.role === 'leader' &&
          statuses.filter(status => status.leader === id).length * 2 > this.replicas.length,
      )
    })
  }

  /** The cluster has recorded whose member each is: nothing is proposed any more that nobody asked for. */
  async identified(): Promise<void> {
    await eventually('everybody is identified', () => {
      const all = this.replicas.map(({ node }) => node.status())
      const known = all.every(({ members }) => members.every(({ identified }) => identified))
      const level = all.every(({ lastIndex, appliedIndex }) => lastIndex === appliedIndex)
      return (known && level) || undefined
    })
  }

  /** Proposes anywhere that takes it until it is applied. */
  async write(command: string): Promise<Outcome> {
    return eventually(`"${command}" applied`, async () => {
      const leader = this.replicas.find(({ node }) => node.status().role === 'leader')
      const outcome = await leader?.node.propose(Buffer.from(command))
      return outcome?.kind === 'applied' ? outcome : undefined
    })
  }

  /** Every replica has applied the same commands, `count` of them. */
  async converged(count: number): Promise<readonly string[]> {
    return eventually(`${count} commands everywhere`, () => {
      const [first, ...others] = this.replicas.map(({ machine }) => machine.commands)
      const equal = others.every(other => other.join() === first?.join())
      return equal && first?.length === count ? first : undefined
    })
  }

  async stop(): Promise<void> {
    for (const { node } of this.replicas) await node.stop()
  }

  #replica(id: NodeId, ids: readonly NodeId[], options: ClusterOptions): Replica {
    const { machineOf = () => new ListMachine(), checkIntervalMs = 0, markOf } = options
    const machine = machineOf(id)
    const log = new MemoryLogStore()
    const fatal: unknown[] = []
    const contact = contactOf(id)
    const node = new RaftNode({
      identity: { clusterId: 'test', nodeId: id, incarnation: `${id}-1` },
      contact,
      founders: ids.map(contactOf),
      log,
      machine,
      snapshots: unshortened(),
      transport: this.network.transport({ ...contact, incarnation: `${id}-1` }),
      clock: new SystemClock(),
      logger: silent,
      seed: ids.indexOf(id) + 1,
      electionTimeoutMs: 200,
      heartbeatIntervalMs: 25,
      commitTimeoutMs: 1500,
      checkIntervalMs,
      ...(markOf === undefined ? {} : { quarantine: markOf(id) }),
      onFatal: error => fatal.push(error),
    })
    return { id, node, machine, log, fatal }
  }
}

function contactOf(id: NodeId) {
  return { id, address: `${id}:8185`, raftBind: `${id}:8186`, gateway: null }
}

/** Polls until `probe` gives something; fails with `what` after `withinMs`. */
export async function eventually<T>(
  what: string,
  probe: () => T | undefined | Promise<T | undefined>,
  withinMs = 10_000,
): Promise<T> {
  const deadline = Date.now() + withinMs
  while (Date.now() < deadline) {
    const found = await probe()
    if (found !== undefined) return found
    await pause(5)
  }
  throw new Error(`not within ${withinMs} ms: ${what}`)
}
