import { ByteReader, ByteWriter } from '../lib/bytes.ts'
import type { Message } from '../raft/message.ts'
import type { NodeId } from '../raft/types.ts'
import { decodeMessage, encodeMessage } from './codec.ts'
import type { PeerLink, Transport, TransportHandler } from './transport.ts'

/**
 * Nodes of one process, for tests. Each message passes through the codec, so receivers share no
 * bytes with senders, and arrives in a later turn of the event loop, in the order sent.
 */
export class MemoryNetwork {
  readonly #transports = new Map<NodeId, MemoryTransport>()
  readonly #blocked = new Set<string>()

  /** The end of `id`; a second one with the same id takes the place of the first once started. */
  transport(id: NodeId, members: readonly NodeId[]): MemoryTransport {
    return new MemoryTransport(this, id, members)
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

/** One node's end of a `MemoryNetwork`. */
export class MemoryTransport implements Transport {
  readonly id: NodeId
  readonly #network: MemoryNetwork
  readonly #peers: readonly NodeId[]
  readonly #reported = new Set<NodeId>()
  #turns = new Map<NodeId, Message[]>()
  #handler: TransportHandler | null = null

  constructor(network: MemoryNetwork, id: NodeId, members: readonly NodeId[]) {
    this.#network = network
    this.id = id
    this.#peers = members.filter(member => member !== id)
  }

  async start(handler: TransportHandler): Promise<void> {
    this.#handler = handler
    this.#network.attach(this)
  }

  send(messages: readonly Message[]): void {
    if (this.#handler === null) return
    for (const message of messages) {
      if (!this.#peers.includes(message.to)) continue
      if (this.#turns.size === 0) setImmediate(() => this.#deliver())
      const turn = this.#turns.get(message.to) ?? []
      turn.push(copy(message, this.id))
      this.#turns.set(message.to, turn)
    }
  }

  links(): readonly PeerLink[] {
    return this.#peers.map(peer => {
      const connected = this.#handler !== null && this.#network.reach(this.id, peer) !== null
      return { peer, connected, lastError: connected ? null : 'not reachable' }
    })
  }

  async close(): Promise<void> {
    this.#handler = null
    this.#network.detach(this)
  }

  #deliver(): void {
    const turns = this.#turns
    this.#turns = new Map()
    for (const [to, messages] of turns) {
      if (this.#handler === null) return
      const target = this.#network.reach(this.id, to)
      const handler = target === null ? null : target.#handler
      if (handler !== null) this.#reported.delete(to)
      if (handler !== null) handler.onMessages(messages)
      else this.#unreachable(to)
    }
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
