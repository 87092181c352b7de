import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import fc from 'fast-check'
import { SystemClock } from '../../src/clock/system-clock.ts'
import type { AppendEntries, Message } from '../../src/raft/message.ts'
import {
  asLogIndex,
  asNodeId,
  asTerm,
  type Entry,
  type LogPosition,
  type NodeId,
  type SnapshotHeader,
} from '../../src/raft/types.ts'
import { MemoryPeerIdentities } from '../../src/transport/peer-identities.ts'
import type { TcpLimits } from '../../src/transport/tcp-context.ts'
import { TcpTransport, type TcpTransportOptions } from '../../src/transport/tcp-transport.ts'
import type {
  ChunkAnswer,
  MetPeer,
  SnapshotChunk,
  TransportHandler,
  TransportMember,
} from '../../src/transport/transport.ts'

export const [node0, node1, node2] = ['node0', 'node1', 'node2'].map(asNodeId) as [
  NodeId,
  NodeId,
  NodeId,
]

/** Waits for a fact, not for a time. */
export async function until(fact: () => boolean, what: string, deadlineMs = 15_000): Promise<void> {
  const end = performance.now() + deadlineMs
  while (!fact()) {
    if (performance.now() > end) throw new Error(`did not happen in ${deadlineMs} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}

/** Below the ports that the kernel gives to clients, and below those of the clusters of other tests. */
const PORTS = { first: 4_000, end: 10_900 }

/** A port that was free a moment ago, and that no connection is given meanwhile. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(PORTS.first, PORTS.end)
    const server = createServer()
    const free = new Promise<boolean>(resolve => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!(await free)) continue
    server.close()
    await once(server, 'close')
    return port
  }
}

/** Keeps what a transport reports. */
export class Recorder implements TransportHandler {
  readonly messages: Message[] = []
  readonly unreachable: NodeId[] = []
  readonly met: MetPeer[] = []
  readonly gone: NodeId[] = []
  readonly chunks: { from: NodeId; chunk: SnapshotChunk }[] = []
  readonly notices: string[] = []
  /** What becomes of a chunk. */
  answer = async ({ offset, bytes }: SnapshotChunk): Promise<ChunkAnswer> => ({
    kind: 'held',
    bytes: offset + bytes.length,
  })

  onMessages(messages: readonly Message[]): void {
    this.messages.push(...messages)
  }

  onUnreachable(peer: NodeId): void {
    this.unreachable.push(peer)
  }

  onMet(peer: MetPeer): void {
    this.met.push(peer)
  }

  onGone(peer: NodeId): void {
    this.gone.push(peer)
  }

  onChunk(from: NodeId, chunk: SnapshotChunk): Promise<ChunkAnswer> {
    this.chunks.push({ from, chunk })
    return this.answer(chunk)
  }

  onNotice(from: NodeId, notice: Uint8Array): void {
    this.notices.push(`${from}: ${Buffer.from(notice).toString()}`)
  }
}

/** Messages as text, equal if and only if they are. */
export function texts(messages: readonly Message[]): readonly string[] {
  return messages.map(message =>
    JSON.stringify(message, (_key, value: unknown) => {
      if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
      if ('type' in value && value.type === 'Buffer')
        return Buffer.from(value as never).toString('hex')
      return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    }),
  )
}

export function heartbeat(from: NodeId, to: NodeId, commit: number): Message {
  return { kind: 'heartbeat', from, to, term: asTerm(1), commit: asLogIndex(commit), context: 0 }
}

/** A piece of a snapshot of 1 MiB. */
export function chunk(offset: number, bytes: Uint8Array, change: Partial<SnapshotHeader> = {}) {
  const header: SnapshotHeader = {
    position: { index: asLogIndex(7), term: asTerm(2) },
    configuration: new Uint8Array([1, 2, 3]),
    id: 'a-snapshot',
    bytes: 1024 * 1024,
    sha256: '5'.repeat(64),
    ...change,
  }
  return { header, offset, bytes }
}

export function append(from: NodeId, to: NodeId, payload: Uint8Array): AppendEntries {
  const prev = { index: asLogIndex(4), term: asTerm(2) }
  const entry: Entry = { index: asLogIndex(5), term: asTerm(2), kind: 'command', payload }
  return {
    kind: 'append-entries',
    from,
    to,
    term: asTerm(3),
    prev,
    entries: [entry],
    commit: asLogIndex(4),
  }
}

/** Limits that make a test short. */
export const QUICK: Partial<TcpLimits> = {
  pingMs: 40,
  handshakeMs: 400,
  backoffMinMs: 5,
  backoffMaxMs: 40,
}

/** What node `id` says of itself. */
export function contactOf(id: NodeId, port = 1): Omit<MetPeer, 'incarnation'> {
  const gateway = `http://${id}.example:8100`
  return { id, address: `${id}.example:8185`, raftBind: `127.0.0.1:${port}`, gateway }
}

/** Members at these ports, whom nobody knows yet. */
export function membersAt(ports: ReadonlyMap<NodeId, number>): TransportMember[] {
  return [...ports].map(([id, port]) => ({ id, raftBind: `127.0.0.1:${port}`, incarnation: '' }))
}

/** A transport of `id` whose members are those of `ports`, and the lines that it logged. */
export function tcp(
  id: NodeId,
  ports: ReadonlyMap<NodeId, number>,
  options: Partial<TcpTransportOptions> = {},
): { transport: TcpTransport; lines: string[] } {
  const lines: string[] = []
  const port = ports.get(id) ?? 0
  const transport = new TcpTransport({
    identity: { clusterId: 'test', nodeId: id, incarnation: `${id}-1` },
    contact: contactOf(id, port === 0 ? 1 : port),
    listen: `127.0.0.1:${port}`,
    identities: new MemoryPeerIdentities(),
    clock: new SystemClock(),
    log: (_level, line) => lines.push(line),
    seed: 1,
    limits: QUICK,
    ...options,
  })
  transport.setMembership({ members: membersAt(ports), open: false })
  return { transport, lines }
}

const count = fc.oneof(fc.nat(3), fc.maxSafeNat())
const position = fc.record({ index: count, term: count }).map(({ index, term }) => ({
  index: asLogIndex(index),
  term: asTerm(term),
}))

/** Of both its parts the smaller one. */
const atMost = (one: LogPosition, other: LogPosition): LogPosition => ({
  index: asLogIndex(Math.min(one.index, other.index)),
  term: asTerm(Math.min(one.term, other.term)),
})

const appends = fc
  .record({
    index: fc.nat(1_000_000),
    terms: fc.array(fc.nat(3), { maxLength: 6 }),
    payloads: fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 6, maxLength: 6 }),
    first: fc.integer({ min: 1, max: 1_000_000 }),
    commit: count,
  })
  .map(({ index, terms, payloads, first, commit }) => {
    let term = first
    const entries = terms.map((step, at): Entry => {
      term += step
      const payload = step === 1 ? new Uint8Array(0) : (payloads[at] ?? new Uint8Array(0))
      const kind = step === 1 ? 'no-op' : 'command'
      return { index: asLogIndex(index + 1 + at), term: asTerm(term), kind, payload }
    })
    return {
      kind: 'append-entries' as const,
      term: asTerm(term),
      prev: { index: asLogIndex(index), term: asTerm(first) },
      commit: asLogIndex(commit),
      entries,
    }
  })

const term = count.map(asTerm)
const index = count.map(asLogIndex)
const constant = <Kind extends Message['kind']>(kind: Kind) => fc.constant(kind)

/** Every kind of message that the core can send, from node0 to node1. */
export const anyMessage: fc.Arbitrary<Message> = fc
  .oneof(
    fc
      .record({
        kind: constant('request-vote'),
        term,
        preVote: fc.boolean(),
        transfer: fc.boolean(),
        incarnation: fc.constantFrom('', 'i-node1'),
        last: position,
        commit: position,
      })
      .map(vote => {
        const last = atMost(vote.last, { index: vote.last.index, term: vote.term })
        return { ...vote, last, commit: atMost(vote.commit, last) }
      }),
    fc
      .record({
        kind: constant('request-vote-reply'),
        term,
        preVote: fc.boolean(),
        granted: fc.boolean(),
        commit: position,
      })
      .map(vote => ({ ...vote, commit: atMost(vote.commit, { ...vote.commit, term: vote.term }) })),
    appends,
    fc.record({ kind: constant('append-entries-reply'), term, match: index }),
    fc.record({
      kind: constant('append-entries-refusal'),
      term,
      prevIndex: index,
      hint: position,
    }),
    fc.record({ kind: constant('heartbeat'), term, commit: index, context: count }),
    fc.record({ kind: constant('heartbeat-reply'), term, context: count, lacking: index }),
    fc.record({ kind: constant('read-index'), term, context: count }),
    fc.record({ kind: constant('read-index-reply'), term, context: count, index }),
    fc.record({ kind: constant('timeout-now'), term }),
    fc
      .record({
        kind: constant('install-snapshot'),
        term,
        header: fc.record({
          position,
          configuration: fc.uint8Array({ maxLength: 300 }),
          id: fc.stringMatching(/^[a-z0-9-]{1,40}$/),
          bytes: count,
          sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
        }),
      })
      .map(({ header, ...message }) => {
        const covered = atMost(header.position, {
          index: header.position.index,
          term: message.term,
        })
        return { ...message, header: { ...header, position: covered } }
      }),
  )
  .map(message => ({ ...message, from: node0, to: node1 }))
