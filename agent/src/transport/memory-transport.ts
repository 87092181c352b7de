import { ByteReader, ByteWriter } from '../lib/bytes.ts'
import type { Message } from '../raft/message.ts'
import type { NodeId } from '../raft/types.ts'
import { chunkFrame, decodeChunk } from './chunk-codec.ts'
import { decodeMessage, encodeMessage } from './codec.ts'
import { FRAME_HEADER_BYTES } from './frame.ts'
import type {
  ChunkAnswer,
  Membership,
  MetPeer,
  PeerLink,
  SnapshotChunk,
  Transport,
  TransportHandler,
} from './transport.ts'

/**
 * Nodes of one process, for tests. Each message passes through the codec, so receivers share no
 * bytes with senders, and arrives in a later turn of the event loop, in the order sent.
 */
export class MemoryNetwork {
  readonly #transports = new Map<NodeId, MemoryTransport>()
  readonly #blocked = new Set<string>()

  /** The end of `self`; a second one with the same id takes the place of the first once started. */
  transport(self: MetPeer): MemoryTransport {
    return new MemoryTransport(this, self)
  }

  /** From now on nothing arrives from `from` at `to`, what is under way included. */
  block(from: NodeId, to: NodeId): void {
    this.#blocked.add(`${from} ${to}`)
  }

  unblock(from: NodeId, to: NodeId): void {
    this.#blocked.delete(`${from} ${to}`)
  }

  /** Blocks both directions between `id` and each other node of the network. */
  isolate(id: NodeId): void {
    for (const other of this.#transports.keys()) {
      if (other === id) continue
      this.block(id, other)
      this.block(other, id)
    }
  }

  /** Unblocks everything. */
  heal(): void {
    this.#blocked.clear()
  }

  /** @internal */
  attach(transport: MemoryTransport): void {
    this.#transports.set(transport.id, transport)
  }

  /** @internal */
  detach(transport: MemoryTransport): void {
    if (this.#transports.get(transport.id) === transport) this.#transports.delete(transport.id)
  }

  /** @internal Null when nothing would arrive. */
  reach(from: NodeId, to: NodeId): MemoryTransport | null {
    return this.#blocked.has(`${from} ${to}`) ? null : (this.#transports.get(to) ?? null)
  }
}

/** One node's end of a `MemoryNetwork`. It checks no incarnations: who is let in depends on the name only. */
export class MemoryTransport implements Transport {
  readonly id: NodeId
  readonly #self: MetPeer
  readonly #network: MemoryNetwork
  #peers: ReadonlySet<NodeId> = new Set()
  #open = false
  /** let in although they are no members */
  readonly #guests = new Set<NodeId>()
  /** incarnations, by name */
  readonly #met = new Map<NodeId, string>()
  readonly #reported = new Set<NodeId>()
  #turns = new Map<NodeId, Message[]>()
  /** to whom a chunk of this node is under way */
  readonly #sending = new Set<NodeId>()
  /** ends the chunks that this end sent or received, and that are not answered */
  readonly #openChunks = new Set<() => void>()
  #handler: TransportHandler | null = null

  constructor(network: MemoryNetwork, self: MetPeer) {
    this.#network = network
    this.#self = self
    this.id = self.id
  }

  async start(handler: TransportHandler): Promise<void> {
    this.#handler = handler
    this.#network.attach(this)
  }

  setMembership({ members, open }: Membership): void {
    this.#peers = new Set(members.map(member => member.id).filter(id => id !== this.id))
    this.#open = open
    if (!open) this.#guests.clear()
  }

  send(messages: readonly Message[]): void {
    if (this.#handler === null) return
    for (const message of messages) {
      if (!this.#reaches(message.to)) continue
      if (this.#turns.size === 0) setImmediate(() => this.#deliver())
      const turn = this.#turns.get(message.to) ?? []
      turn.push(copy(message, this.id))
      this.#turns.set(message.to, turn)
    }
  }

  async sendChunk(to: NodeId, chunk: SnapshotChunk): Promise<ChunkAnswer> {
    if (this.#sending.has(to)) throw new Error(`another chunk is under way to ${to}`)
    this.#sending.add(to)
    try {
      const copied = decodeChunk(chunkFrame(chunk).subarray(FRAME_HEADER_BYTES))
      await new Promise(resolve => setImmediate(resolve))
      const target = this.#target(to)
      const answer = target && (await this.#whileOpen(target.takesChunk(this.#self, copied)))
      // The answer comes back on the connection that carried the chunk.
      if (answer === null || this.#target(to) === null) throw new Error(`${to} is not connected`)
      return answer
    } finally {
      this.#sending.delete(to)
    }
  }

  notify(to: NodeId, notice: Uint8Array): void {
    if (this.#handler === null || !this.#reaches(to)) return
    const copied = Uint8Array.from(notice)
    setImmediate(() => this.#target(to)?.takesNotice(this.#self, copied))
  }

  links(): readonly PeerLink[] {
    return [...this.#peers].map(peer => {
      const connected = this.#handler !== null && this.#network.reach(this.id, peer) !== null
      const lastError = connected ? null : 'not reachable'
      return { peer, connected, lastError, refused: false, stranger: false }
    })
  }

  async close(): Promise<void> {
    this.#handler = null
    this.#network.detach(this)
    for (const end of this.#openChunks) end()
  }

  /** Null when nothing of this node would arrive there. */
  #target(to: NodeId): MemoryTransport | null {
    if (this.#handler === null || !this.#reaches(to)) return null
    return this.#network.reach(this.id, to)
  }

  #deliver(): void {
    const turns = this.#turns
    this.#turns = new Map()
    for (const [to, messages] of turns) {
      if (this.#handler === null) return
      const target = this.#network.reach(this.id, to)
      if (target?.takes(this.#self, messages) === true) this.#reported.delete(to)
      else this.#unreachable(to)
    }
  }

  /** @internal False when this end is not there, or does not let the sender in. */
  takes(from: MetPeer, messages: readonly Message[]): boolean {
    const handler = this.#letIn(from)
    handler?.onMessages(messages)
    return handler !== null
  }

  /** @internal Null when this end is not there, goes away, or does not let the sender in. */
  async takesChunk(from: MetPeer, chunk: SnapshotChunk): Promise<ChunkAnswer | null> {
    const handler = this.#letIn(from)
    if (handler === null) return null
    const refused = (error: unknown): ChunkAnswer => ({ kind: 'refused', why: String(error) })
    return this.#whileOpen(handler.onChunk(from.id, chunk).catch(refused))
  }

  /** Null once this end is closed. */
  async #whileOpen(answer: Promise<ChunkAnswer | null>): Promise<ChunkAnswer | null> {
    let end = () => {}
    const ended = new Promise<null>(resolve => {
      end = () => resolve(null)
    })
    this.#openChunks.add(end)
    try {
      return await Promise.race([answer, ended])
    } finally {
      this.#openChunks.delete(end)
    }
  }

  /** @internal */
  takesNotice(from: MetPeer, notice: Uint8Array): void {
    this.#letIn(from)?.onNotice(from.id, notice)
  }

  #letIn(from: MetPeer): TransportHandler | null {
    if (this.#handler === null) return null
    if (!this.#peers.has(from.id)) {
      if (!this.#open) return null
      this.#guests.add(from.id)
    }
    if (this.#met.get(from.id) !== from.incarnation) {
      this.#met.set(from.id, from.incarnation)
      this.#handler.onMet(from)
    }
    return this.#handler
  }

  #reaches(peer: NodeId): boolean {
    return this.#peers.has(peer) || this.#guests.has(peer)
  }

  #unreachable(peer: NodeId): void {
    if (this.#reported.has(peer)) return
    this.#reported.add(peer)
    this.#handler?.onUnreachable(peer)
  }
}

function copy(message: Message, from: NodeId): Message {
  const writer = new ByteWriter()
  encodeMessage(writer, message)
  return decodeMessage(new ByteReader(writer.view()), { from, to: message.to })
}
