import type { Effect } from '../../src/raft/effect.ts'
import type { Input } from '../../src/raft/input.ts'
import type { Message } from '../../src/raft/message.ts'
import type { Entry } from '../../src/raft/types.ts'
import type { Readable, Settled } from './applying.ts'
import type { SimulatedNode } from './node.ts'

type Reject = Extract<Effect, { kind: 'reject' }>

/** Who looks on: the invariants, the clients, the nemesis. */
export interface Witness {
  /** Right after a step, before any of its effects is carried out. */
  stepped(node: SimulatedNode, input: Input, effects: readonly Effect[]): void
  /** After the effects of a step were started. */
  started(node: SimulatedNode, effects: readonly Effect[]): void
  leaves(node: SimulatedNode, message: Message): void
  applied(node: SimulatedNode, entry: Entry): void
  /** Its machine is that of a snapshot; the core does not know yet. */
  restored(node: SimulatedNode): void
  accepted(ids: readonly number[]): void
  rejected(reject: Reject): void
  settled(settled: Settled): void
  readable(readable: Readable): void
  /** A write is durable, and nobody was told yet; true: the node crashes now. */
  crashesAt(node: SimulatedNode): boolean
  /** Its disk failed, or gave it what it may not use. */
  stopped(node: SimulatedNode): void
}
