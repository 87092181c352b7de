import type { NodeId, SnapshotHeader } from '../../src/raft/types.ts'
import type { Chance } from './chance.ts'
import type { SimulatedNode } from './node.ts'
import type { Chunk, ChunkAnswer } from './pieces.ts'
import type { Tally } from './tally.ts'
import type { Weather } from './weather.ts'

interface Parts {
  readonly node: SimulatedNode
  readonly weather: Weather
  readonly damage: Chance
  readonly faults: Tally
  readonly reached: Tally
}

/** Where a node keeps what arrives of a snapshot from its leader: one file, replaced by another, never while it is installed. */
export class Receiving {
  readonly #parts: Parts
  #staged: { readonly header: SnapshotHeader; readonly held: number } | null = null

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** The file of an install-snapshot is there, whole and verified: without it the message means nothing. */
  isReady({ id }: SnapshotHeader): boolean {
    const staged = this.#staged
    return staged?.header.id === id && staged.held === staged.header.bytes
  }

  /** It is installed, or was not to be. */
  drop(): void {
    this.#staged = null
  }

  take({ from, to, question, header, offset, bytes }: Chunk): ChunkAnswer {
    const says = this.#accepts(from, header) ? this.#held(header, offset, bytes) : REFUSED
    return { kind: 'chunk-answer', from: to, to: from, question, says }
  }

  #accepts(from: NodeId, header: SnapshotHeader): boolean {
    const { node, reached } = this.#parts
    const { leader, install } = node.raft.state
    const staged = this.#staged
    if (from !== leader) {
      reached.add('snapshot refused: not from the leader')
      return false
    }
    if (staged?.header.id === header.id) return true
    if (install !== null) {
      reached.add('snapshot refused during an install')
      return false
    }
    if (staged !== null && staged.held > 0) reached.add('snapshot replaced on its way')
    this.#staged = { header, held: 0 }
    return true
  }

  /** Doubled, late and out of order: only what follows is taken. */
  #held(header: SnapshotHeader, offset: number, bytes: number): ChunkAnswer['says'] {
    const { weather, damage, faults, reached } = this.#parts
    const before = this.#staged?.held ?? 0
    if (bytes > 0 && offset !== before) reached.add('chunk out of order')
    const held = offset === before ? before + bytes : before
    if (held > before && held === header.bytes && damage.happens(weather.snapshots.damaged)) {
      faults.add('snapshot damaged on its way')
      this.#staged = null
      return REFUSED
    }
    this.#staged = { header, held }
    return held === header.bytes ? { kind: 'complete' } : { kind: 'held', bytes: held }
  }
}

const REFUSED = { kind: 'refused' } as const
