import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SystemClock } from '../../src/clock/system-clock.ts'
import type { LogStore } from '../../src/log/log-store.ts'
import { MemoryLogStore } from '../../src/log/memory-log-store.ts'
import { SegmentLogStore } from '../../src/log/segment-log-store.ts'
import { SnapshotStore } from '../../src/log/snapshot-store.ts'
import { encodeCommand } from '../../src/machine/kv/command.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import type { KvAnswer, KvQuery } from '../../src/machine/kv/query.ts'
import type { FaultPoint } from '../../src/node/fault-points.ts'
import { RaftNode } from '../../src/node/node.ts'
import type { NodeStatus } from '../../src/node/node-api.ts'
import type { Outcome } from '../../src/node/outcome.ts'
import { asNodeId, type NodeId } from '../../src/raft/types.ts'
import { MemoryNetwork } from '../../src/transport/memory-transport.ts'
import { eventually } from './in-process-cluster.ts'

/** `durable`: log and keys on disk; `memory`: the log outlives its node, the keys do not, and snapshots do. */
export type Kind = 'durable' | 'memory'

/** So small that a few writes are more than the logs keep. */
const SMALL = { enabled: true, intervalMs: 40, threshold: 20, trailing: 10 }
/** Entries that any log of these clusters keeps, at most, once it has been looked at. */
export const KEPT_MAX = SMALL.threshold + SMALL.trailing

const bytes = (text: string) => Buffer.from(text)

interface Test {
  teardown(end: () => Promise<void>): void
}

/** Whole nodes of one process that keep what they have over a restart. */
export class StoredCluster {
  readonly network = new MemoryNetwork()
  readonly members: Member[] = []
  readonly directory = mkdtempSync(join(tmpdir(), 'stored-cluster-'))
  readonly kind: Kind
  #writes = 0

  private constructor(kind: Kind) {
    this.kind = kind
  }

  static async start(t: Test, kind: Kind, size = 3): Promise<StoredCluster> {
    const cluster = new StoredCluster(kind)
    t.teardown(() => cluster.stop())
    const founders = Array.from({ length: size }, (_, at) => asNodeId(`n${at + 1}`))
    for (const id of founders) cluster.members.push(new Member(cluster, { id, founders, disk: 1 }))
    for (const member of cluster.members) await member.start()
    return cluster
  }

  async leader(): Promise<Member> {
    return eventually('one leads', () =>
      this.members.find(member => member.isRunning && member.status.role === 'leader'),
    )
  }

  async follower(): Promise<Member> {
    const { id } = await this.leader()
    const member = this.members.find(each => each.id !== id)
    if (member === undefined) throw new Error('nobody follows')
    return member
  }

  /** So many keys more, one entry each, all applied by the leader. */
  async write(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 50) {
      await Promise.all(Array.from({ length: Math.min(50, left) }, () => this.#writeOne()))
    }
  }

  /** More than the logs keep, and the logs are as short as they get. */
  async writeMuch(): Promise<void> {
    await this.write(4 * KEPT_MAX)
    const { status } = await this.leader()
    const there = this.members.filter(({ isRunning, isCutOff }) => isRunning && !isCutOff)
    const areShort = () =>
      there.every(({ status: { firstIndex } }) => firstIndex > status.lastIndex - 2 * KEPT_MAX)
    // A transfer to somebody who has gone holds the log for 10 s.
    await eventually('short logs', () => areShort() || undefined, 30_000).catch(cause => {
      throw new Error(there.map(each => each.text).join('; '), { cause })
    })
  }

  /** All have applied all, and come to the same. */
  async equal(): Promise<void> {
    await eventually('all nodes are equal', () => {
      const [first, ...others] = this.members.map(({ status }) => status)
      const same = others.every(
        ({ chain, appliedIndex }) =>
          chain.hash === first?.chain.hash && appliedIndex === first.lastIndex,
      )
      return (same && first?.appliedIndex === first?.lastIndex) || undefined
    })
    const everyKey = { kind: 'rows', scope: { kind: 'prefix', bytes: bytes('') } } as const
    for (const member of this.members) {
      const answer = await member.node.query(everyKey)
      const found = answer.kind === 'rows' ? (answer.rows ?? []).length : -1
      if (found !== this.#writes) throw new Error(`${member.id}: ${found} of ${this.#writes} keys`)
    }
  }

  get fatal(): unknown[] {
    return this.members.flatMap(({ fatal }) => fatal)
  }

  async stop(): Promise<void> {
    for (const member of this.members) await member.stop()
    rmSync(this.directory, { recursive: true, force: true })
  }

  async #writeOne(): Promise<void> {
    const pair = { key: bytes(`k${++this.#writes}`), value: bytes('x'.repeat(200)) }
    const command = encodeCommand({ kind: 'set', pairs: [pair] })
    await eventually('a write is applied', async () => {
      const { node } = await this.leader()
      const { kind }: Outcome = await node.propose(command)
      return kind === 'applied' || undefined
    })
  }
}

export class Member {
  readonly id: NodeId
  readonly #cluster: StoredCluster
  readonly #founders: readonly NodeId[] | null
  /** counts the disks that this name had */
  #disk: number
  #memoryLog = new MemoryLogStore()
  #started: RaftNode<KvQuery, KvAnswer> | null = null
  #running = false
  #failAt: FaultPoint | null = null
  machine = new KvMachine({ file: null })
  isCutOff = false
  fatal: unknown[] = []
  /** what it logged, with the words last */
  lines: readonly (readonly [object, string])[] = []
  /** names of the points that were reached since the start */
  reached = new Set<FaultPoint>()

  constructor(
    cluster: StoredCluster,
    own: {
      readonly id: NodeId
      readonly founders: readonly NodeId[] | null
      readonly disk: number
    },
  ) {
    this.#cluster = cluster
    this.id = own.id
    this.#founders = own.founders
    this.#disk = own.disk
  }

  get node(): RaftNode<KvQuery, KvAnswer> {
    if (this.#started === null) throw new Error('never started')
    return this.#started
  }

  get isRunning(): boolean {
    return this.#running
  }

  get status(): NodeStatus {
    return this.node.status()
  }

  /** For whoever reads why a test failed. */
  get text(): string {
    const { role, firstIndex, appliedIndex, lastIndex, links } = this.status
    const { compactions } = this.node.measures()
    const durable = this.machine.durablePosition().index
    const linked = links.filter(({ connected }) => connected).map(({ peer }) => peer)
    return (
      `${this.id} (${role}, linked to ${linked}): log ${firstIndex} to ${lastIndex}, applied ` +
      `${appliedIndex}, durable ${durable}, ${compactions} compactions`
    )
  }

  get directory(): string {
    return join(this.#cluster.directory, `${this.id}-${this.#disk}`)
  }

  /** Rejects when its files must not be used. */
  async start(): Promise<void> {
    const { network, kind } = this.#cluster
    mkdirSync(this.directory, { recursive: true })
    const incarnation = `${this.id}-${this.#disk}`
    const contact = contactOf(this.id)
    const file = kind === 'durable' ? join(this.directory, 'kv.sqlite') : null
    this.machine = new KvMachine({ file })
    const note = (details: object, words: string) => {
      this.lines = [...this.lines, [details, words]]
    }
    this.fatal = []
    this.reached = new Set()
    this.#started = new RaftNode({
      identity: { clusterId: 'test', nodeId: this.id, incarnation },
      contact,
      founders: this.#founders?.map(contactOf) ?? null,
      alone: this.#cluster.members.length === 1,
      log: this.#log(),
      machine: this.machine,
      snapshots: {
        store: new SnapshotStore({ directory: join(this.directory, 'snapshots'), retain: 2 }),
        ...SMALL,
      },
      transport: network.transport({ ...contact, incarnation }),
      clock: new SystemClock(),
      logger: { info: note, warn: note, error: note },
      seed: Number(this.id.slice(1)),
      electionTimeoutMs: 200,
      heartbeatIntervalMs: 25,
      commitTimeoutMs: 1500,
      onFatal: error => {
        this.#running = false
        this.fatal.push(error)
      },
      reach: point => this.#reach(point),
    })
    this.#running = true
    try {
      await this.#started.start()
    } catch (error) {
      this.#running = false
      throw error
    }
  }

  /** At the next time that it comes by the point, all that it does ends there. */
  failAt(point: FaultPoint): void {
    this.#failAt = point
  }

  async failed(): Promise<void> {
    await eventually(`${this.id} fails`, () => this.fatal[0])
  }

  async stop(): Promise<void> {
    this.#running = false
    await this.#started?.stop()
    this.#started = null
  }

  cutOff(): void {
    this.isCutOff = true
    this.#cluster.network.isolate(this.id)
  }

  heal(): void {
    this.isCutOff = false
    this.#cluster.network.heal()
  }

  /** Its log stays. */
  loseMachine(): void {
    const gone = this.#cluster.kind === 'durable' ? ['kv.sqlite', 'kv.sqlite-wal'] : []
    for (const name of [...gone, 'snapshots']) {
      rmSync(join(this.directory, name), { recursive: true, force: true })
    }
  }

  #log(): LogStore {
    if (this.#cluster.kind === 'memory') return this.#memoryLog
    return new SegmentLogStore({ directory: join(this.directory, 'log'), segmentBytes: 8192 })
  }

  #reach(point: FaultPoint): void {
    this.reached.add(point)
    if (this.#failAt !== point) return
    this.#failAt = null
    this.cutOff()
    throw new Error(`ended at ${point}`)
  }
}

export function contactOf(id: NodeId) {
  return { id, address: `${id}:8185`, raftBind: `${id}:8186`, gateway: null }
}
