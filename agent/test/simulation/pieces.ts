import type { ChainReport } from '../../src/node/divergence.ts'
import type { Message } from '../../src/raft/message.ts'
import type { NodeId, SnapshotHeader } from '../../src/raft/types.ts'

interface Between {
  readonly from: NodeId
  readonly to: NodeId
  /** which question of all; an answer to another one is not waited for */
  readonly question: number
}

/** One piece of a snapshot's file; without `bytes` it only asks how much is held. A file is as many bytes as it has pieces. */
export interface Chunk extends Between {
  readonly kind: 'chunk'
  readonly header: SnapshotHeader
  readonly offset: number
  readonly bytes: 0 | 1
}

export interface ChunkAnswer extends Between {
  readonly kind: 'chunk-answer'
  readonly says:
    | { readonly kind: 'held'; readonly bytes: number }
    | { readonly kind: 'complete' }
    | { readonly kind: 'refused' }
}

export type Piece = Chunk | ChunkAnswer

/** What a machine had come to at a check entry. */
export interface Notice {
  readonly kind: 'notice'
  readonly from: NodeId
  readonly to: NodeId
  readonly report: ChainReport
}

/** All that nodes send one another. */
export type Sent = Message | Piece | Notice

export function isMessage(sent: Sent): sent is Message {
  return sent.kind !== 'chunk' && sent.kind !== 'chunk-answer' && sent.kind !== 'notice'
}
