import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { SystemClock } from '../../src/clock/system-clock.ts'
import { SegmentLogStore } from '../../src/log/segment-log-store.ts'
import { SnapshotStore } from '../../src/log/snapshot-store.ts'
import { encodeCommand } from '../../src/machine/kv/command.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import type { KvAnswer, KvQuery } from '../../src/machine/kv/query.ts'
import { RaftNode } from '../../src/node/node.ts'
import { asNodeId, type NodeId } from '../../src/raft/types.ts'
import { MemoryPeerIdentities } from '../../src/transport/peer-identities.ts'
import { TcpTransport } from '../../src/transport/tcp-transport.ts'
import { CHUNK_BYTES_MAX } from '../../src/transport/transport.ts'
import { freePort } from '../transport/harness.ts'
import { Relay } from '../transport/relay.ts'
import { eventually } from './in-process-cluster.ts'

const IDS = ['n1', 'n2', 'n3'].map(asNodeId) as [NodeId, NodeId, NodeId]
const BEHIND = IDS[2]
const VALUE = Buffer.alloc(8_000, 'v')
const silent = { info: () => {}, warn: () => {}, error: () => {} }

/** Three whole nodes on disk and over TCP; whoever dials the last one passes a relay. */
class Trio {
  readonly #directory: string
  readonly #binds: ReadonlyMap<NodeId, string>
  readonly #ports: ReadonlyMap<NodeId, number>
  readonly relay: Relay
  readonly nodes = new Map<NodeId, RaftNode<KvQuery, KvAnswer>>()
  readonly fatal: unknown[] = []
  #writes = 0

  private constructor(directory: string, ports: ReadonlyMap<NodeId, number>, relay: Relay) {
    this.#directory = directory
    this.#ports = ports
    this.relay = relay
    const binds = [...ports].map(([id, port]) => [id, `127.0.0.1:${port}`] as const)
    this.#binds = new Map([...binds, [BEHIND, `127.0.0.1:${relay.port}`]])
  }

  static async start(t: Test): Promise<Trio> {
    const ports = new Map<NodeId, number>()
    for (const id of IDS) ports.set(id, await freePort())
    const relay = await Relay.to(t, ports.get(BEHIND) ?? 0)
    const trio = new Trio(t.testdir(), ports, relay)
    t.teardown(async () => {
      for (const id of IDS) await trio.stop(id)
    })
    for (const id of IDS) await trio.start(id)
    return trio
  }

  get writes(): number {
    return this.#writes
  }

  async start(id: NodeId): Promise<void> {
    const directory = join(this.#directory, id)
    mkdirSync(directory, { recursive: true })
    const identity = { clusterId: 'test', nodeId: id, incarnation: `${id}-1` }
    const clock = new SystemClock()
    const seed = IDS.indexOf(id) + 1
    const node = new RaftNode({
      identity,
      contact: this.#contact(id),
      founders: IDS.map(each => this.#contact(each)),
      log: new SegmentLogStore({ directory: join(directory, 'log'), segmentBytes: 65_536 }),
      machine: new KvMachine({ file: join(directory, 'kv.sqlite') }),
      snapshots: {
        store: new SnapshotStore({ directory: join(directory, 'snapshots'), retain: 1 }),
        ...{ enabled: true, intervalMs: 50, threshold: 20, trailing: 10 },
      },
      transport: new TcpTransport({
        identity,
        contact: this.#contact(id),
        listen: `127.0.0.1:${this.#ports.get(id)}`,
        identities: new MemoryPeerIdentities(),
        clock,
        log: () => {},
        seed,
      }),
      clock,
      logger: silent,
      seed,
      electionTimeoutMs: 1_000,
      heartbeatIntervalMs: 50,
      commitTimeoutMs: 5_000,
      onFatal: error => void this.fatal.push(error),
    })
    await node.start()
    this.nodes.set(id, node)
  }

  async stop(id: NodeId): Promise<void> {
    const node = this.nodes.get(id)
    this.nodes.delete(id)
    await node?.stop()
  }

  async leader(): Promise<RaftNode<KvQuery, KvAnswer>> {
    return eventually('one leads', () =>
      [...this.nodes.values()].find(node => node.status().role === 'leader'),
    )
  }

  async write(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 20) {
      await Promise.all(Array.from({ length: Math.min(20, left) }, () => this.#writeOne()))
    }
  }

  /** What all nodes together have counted. */
  total(of: 'sent' | 'received' | 'installs' | 'bytesSent' | 'bytesReceived'): number {
    return [...this.nodes.values()].reduce((sum, node) => sum + node.measures().snapshots[of], 0)
  }

  /** All have applied all, with the same results. */
  async equal(): Promise<void> {
    await eventually('all are equal', () => {
      const statuses = [...this.nodes.values()].map(node => node.status())
      const [first] = statuses
      const same = statuses.every(
        ({ chain, appliedIndex, lastIndex }) =>
          chain.hash === first?.chain.hash && appliedIndex === lastIndex,
      )
      return (same && statuses.length === IDS.length) || undefined
    })
  }

  /** Keys that one node answers for, a part at a time: an answer has a limit. */
  async held(id: NodeId): Promise<number> {
    const parts = Array.from({ length: 9 }, (_, digit) => Buffer.from(`k${digit + 1}`))
    const answers = await Promise.all(
      parts.map(bytes =>
        this.nodes.get(id)?.query({ kind: 'rows', scope: { kind: 'prefix', bytes } }),
      ),
    )
    return answers.reduce(
      (sum, answer) => sum + (answer?.kind === 'rows' ? (answer.rows?.length ?? Number.NaN) : 0),
      0,
    )
  }

  #contact(id: NodeId) {
    return { id, address: `${id}:8185`, raftBind: this.#binds.get(id) ?? '', gateway: null }
  }

  async #writeOne(): Promise<void> {
    const pair = { key: Buffer.from(`k${++this.#writes}`), value: VALUE }
    const command = encodeCommand({ kind: 'set', pairs: [pair] })
    await eventually('a write is applied', async () => {
      const { kind } = await (await this.leader()).propose(command)
      return kind === 'applied' || undefined
    })
  }
}

t.test('a node far behind is brought level under load, over a connection that breaks', async t => {
  const trio = await Trio.start(t)
  await trio.write(20)
  await trio.equal()
  await trio.stop(BEHIND)
  await trio.write(1_000)
  await eventually('the logs begin behind what it has', () => {
    const begins = [...trio.nodes.values()].map(node => node.status().firstIndex)
    return begins.every(index => index > 500) || undefined
  })
  const passed = trio.relay.bytes
  let cuts = 0
  trio.relay.onBytes = () => {
    if (cuts === 2 || trio.relay.bytes - passed < (cuts + 1) * 3_000_000) return
    cuts++
    trio.relay.cut()
  }
  const [first] = trio.nodes.values()
  const { term } = first?.status() ?? { term: 0 }
  await trio.start(BEHIND)
  do await trio.write(20)
  while (trio.total('installs') === 0)
  await trio.write(20)
  await trio.equal()
  t.equal(cuts, 2)
  t.same([trio.total('sent'), trio.total('received'), trio.total('installs')], [1, 1, 1])
  const twice = trio.total('bytesSent') - trio.total('bytesReceived')
  t.equal(trio.total('bytesReceived') > 8_000_000, true)
  t.equal(twice <= cuts * CHUNK_BYTES_MAX, true, `${twice} bytes were sent twice`)
  t.equal(first?.status().term, term, 'nobody was disturbed')
  t.equal(await trio.held(BEHIND), trio.writes)
  t.same(trio.fatal, [])
})

t.test(
  'rqlite#2687 a leader stops although who takes its snapshot has stopped reading',
  async t => {
    const trio = await Trio.start(t)
    await trio.write(20)
    await trio.equal()
    await trio.stop(BEHIND)
    await trio.write(300)
    await eventually('the logs begin behind what it has', () => {
      const begins = [...trio.nodes.values()].map(node => node.status().firstIndex)
      return begins.every(index => index > 200) || undefined
    })
    trio.relay.onBytes = () => {
      if (trio.total('bytesSent') > 0) trio.relay.hold()
    }
    await trio.start(BEHIND)
    await eventually('a transfer hangs', () => trio.total('bytesSent') > 0 || undefined)
    t.equal(trio.total('received'), 0)
    for (const id of [IDS[0], IDS[1]]) await trio.stop(id)
    t.same(trio.fatal, [])
  },
)
