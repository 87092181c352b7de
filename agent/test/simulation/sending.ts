import type { Message } from '../../src/raft/message.ts'
import type { LogIndex, NodeId, SnapshotHeader, Term } from '../../src/raft/types.ts'
import type { Chance } from './chance.ts'
import type { SimulatedNode } from './node.ts'
import type { Chunk, ChunkAnswer } from './pieces.ts'
import type { Snapshots } from './snapshots.ts'
import type { Tally } from './tally.ts'
import { must } from './violation.ts'
import type { Weather } from './weather.ts'

interface Parts {
  readonly node: SimulatedNode
  readonly weather: Weather
  readonly snapshots: Snapshots
  readonly damage: Chance
  readonly faults: Tally
  readonly reached: Tally
  readonly send: (sent: Message | Chunk) => void
  /** So many ticks later, unless the node crashes meanwhile. */
  readonly after: (ticks: number, happen: () => void) => void
}

interface Transfer {
  readonly to: NodeId
  /** in which it was asked for: its end means nothing to another one */
  readonly term: Term
  readonly header: SnapshotHeader
  /** that waits for its answer */
  question: number
  /** nothing was answered yet */
  first: boolean
}

/** After which a connection counts as broken. */
const SILENCE_TICKS = 60

/** Sends snapshots piece by piece, one question at a time to each peer; what the peer holds already is not sent again. */
export class Sending {
  readonly #parts: Parts
  readonly #transfers = new Map<NodeId, Transfer>()
  /** kept for the next who needs one */
  #stored: SnapshotHeader | null = null
  #questions = 0

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** One that is under way to this peer, from an earlier term of office, is given up: nothing more is heard of it. */
  begin(to: NodeId, atLeast: LogIndex): void {
    const { node, damage, after } = this.#parts
    this.#transfers.delete(to)
    // What is wrong with a machine, a snapshot of it would spread before anybody notices: a limit that is stated.
    if (node.machine.hasDiverged) {
      after(damage.within(1, 10), () => node.step({ kind: 'snapshot-sent', to, ok: false }))
      return
    }
    const header = this.#choose(atLeast)
    const transfer = { to, term: node.raft.state.term, header, question: 0, first: true }
    this.#transfers.set(to, transfer)
    after(damage.within(1, 10), () => {
      if (this.#transfers.get(to) === transfer) this.#ask(transfer, 0, 0)
    })
  }

  answered({ from, question, says }: ChunkAnswer): void {
    const transfer = this.#transfers.get(from)
    if (transfer === undefined || transfer.question !== question) return
    if (says.kind === 'held' && says.bytes > 0 && transfer.first) {
      this.#parts.reached.add('snapshot resumed')
    }
    transfer.first = false
    if (says.kind === 'held') this.#ask(transfer, says.bytes, 1)
    else this.#end(transfer, says.kind === 'complete')
  }

  /** Transfers end with the process; what is stored stays. */
  crash(): void {
    this.#transfers.clear()
  }

  /** The disk is gone. */
  forget(): void {
    this.#stored = null
  }

  #choose(atLeast: LogIndex): SnapshotHeader {
    const { node, weather, snapshots, damage } = this.#parts
    if (this.#stored !== null && this.#stored.position.index >= atLeast) return this.#stored
    must(node.machine.length >= atLeast, 'Snapshots: only what the machine holds is asked for')
    const pieces = damage.within(1, weather.snapshots.piecesMax)
    this.#stored = snapshots.take(node, pieces)
    return this.#stored
  }

  #ask(transfer: Transfer, offset: number, bytes: 0 | 1): void {
    const { node, weather, damage, faults, send, after } = this.#parts
    const { to, header } = transfer
    const question = ++this.#questions
    transfer.question = question
    if (damage.happens(weather.snapshots.lost / (header.bytes + 1))) {
      faults.add('connection of a snapshot broken')
      this.#end(transfer, false)
      return
    }
    send({ kind: 'chunk', from: node.id, to, question, header, offset, bytes })
    after(SILENCE_TICKS, () => {
      const waits = this.#transfers.get(to) === transfer && transfer.question === question
      if (waits) this.#end(transfer, false)
    })
  }

  #end(transfer: Transfer, whole: boolean): void {
    const { node, reached, send } = this.#parts
    const { to, header } = transfer
    const { role, term } = node.raft.state
    this.#transfers.delete(to)
    const ok = whole && role.kind === 'leader' && term === transfer.term
    if (ok) {
      reached.add('snapshot sent')
      send({ kind: 'install-snapshot', from: node.id, to, term, header })
    }
    node.step({ kind: 'snapshot-sent', to, ok })
  }
}
