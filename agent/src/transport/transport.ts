import type { Message } from '../raft/message.ts'
import type { NodeId, SnapshotHeader } from '../raft/types.ts'

/** How a node is reached; `address` (HTTP of its agent) and `raftBind` are `host:port`. */
export interface Contact {
  readonly address: string
  readonly raftBind: string
  /** Base URL of its nginx; null when it has none. */
  readonly gateway: string | null
}

/** A peer that was verified, as it described itself. */
export interface MetPeer extends Contact {
  readonly id: NodeId
  readonly incarnation: string
}

/** A member as the transport has to know it. */
export interface TransportMember {
  readonly id: NodeId
  /** `host:port` */
  readonly raftBind: string
  /** As the cluster has recorded it; empty while it has not: then who comes first under this id is believed. */
  readonly incarnation: string
}

/** Who is dialled, and who is let in. */
export interface Membership {
  /** This node included or not. */
  readonly members: readonly TransportMember[]
  /**
   * Whether this list may be out of date: then nodes of the same cluster that it does not name are let in too,
   * as guests, since one of them may lead by now. Otherwise they are refused, and their connections closed.
   */
  readonly open: boolean
  /** Left since the last list that was not open, even if they are back: nothing that was recorded of them counts. */
  readonly left?: ReadonlySet<NodeId>
}

/** Longest piece of a snapshot, bytes: what a heartbeat may have to wait behind. */
export const CHUNK_BYTES_MAX = 256 * 1024

/** Longest notice, bytes. */
export const NOTICE_BYTES_MAX = 4096

/** One piece of a snapshot's file; without bytes it only asks how much is held. */
export interface SnapshotChunk {
  readonly header: SnapshotHeader
  /** Of its first byte in the file. */
  readonly offset: number
  /** At most `CHUNK_BYTES_MAX`. */
  readonly bytes: Uint8Array
}

/**
 * `held`: so many bytes from the start of that snapshot's file. `complete`: all of it, verified and durable.
 * `refused`: in words, and this snapshot will not be taken.
 */
export type ChunkAnswer =
  | { readonly kind: 'held'; readonly bytes: number }
  | { readonly kind: 'complete' }
  | { readonly kind: 'refused'; readonly why: string }

/** What the transport tells its node. Called from the event loop, never from inside `send`. */
export interface TransportHandler {
  /** Messages that arrived together, in the order sent; `from` of each is the peer that was verified. */
  onMessages(messages: readonly Message[]): void
  /** Messages to this peer were dropped, or its connection broke. Called at most once per break. */
  onUnreachable(peer: NodeId): void
  /** Verified, at each new connection. */
  onMet(peer: MetPeer): void
  /** Its connection ended, and its port is closed: the process is gone, and not merely slow or cut off. */
  onGone(peer: NodeId): void
  /**
   * From the peer that was verified; the next one comes after this is answered. The numbers of a chunk
   * do not contradict each other, and nothing else is known of it. A rejection refuses it.
   */
  onChunk(from: NodeId, chunk: SnapshotChunk): Promise<ChunkAnswer>
  /** From the peer that was verified; at most `NOTICE_BYTES_MAX` bytes. */
  onNotice(from: NodeId, notice: Uint8Array): void
}

/** The state of one connection, for operators. */
export interface PeerLink {
  readonly peer: NodeId
  readonly connected: boolean
  /** Why not, in words; null while connected or not yet tried. */
  readonly lastError: string | null
  /** The peer itself said so: it does not take part with this node. */
  readonly refused: boolean
  /** It knows another data directory by this node's name. */
  readonly stranger: boolean
}

/**
 * Carries messages between the nodes of a cluster, at most once and without a promise: what is
 * lost, Raft sends again. A slow peer never grows memory: its queue is bounded, and what does not
 * fit is dropped and reported.
 */
export interface Transport {
  /** Listens and starts to dial. Rejects when the address cannot be bound. */
  start(handler: TransportHandler): Promise<void>
  /** Replaces the former one; who stays keeps the connections. Before and after `start`. */
  setMembership(membership: Membership): void
  /** Queues; the messages of one turn leave in as few writes as possible. Never throws. */
  send(messages: readonly Message[]): void
  /**
   * One at a time to each peer. Messages go on meanwhile, and wait behind one chunk at most.
   * Rejects when the peer is not connected, and when the connection breaks before its answer.
   */
  sendChunk(to: NodeId, chunk: SnapshotChunk): Promise<ChunkAnswer>
  /** What the node's own floor tells another: at most once, without a promise, `NOTICE_BYTES_MAX` bytes. Never throws. */
  notify(to: NodeId, notice: Uint8Array): void
  links(): readonly PeerLink[]
  close(): Promise<void>
}
