import type { Message } from '../raft/message.ts'
import type { NodeId } from '../raft/types.ts'

/** What the transport tells its node. Called from the event loop, never from inside `send`. */
export interface TransportHandler {
  /** Messages that arrived together, in the order sent; `from` of each is the peer that was verified. */
  onMessages(messages: readonly Message[]): void
  /** Messages to this peer were dropped, or its connection broke. Called at most once per break. */
  onUnreachable(peer: NodeId): void
}

/** The state of one connection, for operators. */
export interface PeerLink {
  readonly peer: NodeId
  readonly connected: boolean
  /** Why not, in words; null while connected or not yet tried. */
  readonly lastError: string | null
}

/**
 * Carries messages between the nodes of a cluster, at most once and without a promise: what is
 * lost, Raft sends again. A slow peer never grows memory: its queue is bounded, and what does not
 * fit is dropped and reported.
 */
export interface Transport {
  /** Listens and starts to dial. Rejects when the address cannot be bound. */
  start(handler: TransportHandler): Promise<void>
  /** Queues; the messages of one turn leave in as few writes as possible. Never throws. */
  send(messages: readonly Message[]): void
  links(): readonly PeerLink[]
  close(): Promise<void>
}
