import type { Socket } from 'node:net'
import type { NodeId } from '../raft/types.ts'
import { type AskAgent, askPlainly } from './ask-agent.ts'

/** What is known of other agents that speak HTTP here, and how they are spoken to. */
export class Peers {
  readonly ask: AskAgent
  /** Whoever reaches the operators' port is taken for an operator, as the configuration has it. */
  readonly open: boolean
  readonly #proven = new WeakMap<Socket, NodeId>()

  /** @param ask null: agents prove nothing */
  constructor(ask: AskAgent | null, open: boolean) {
    this.ask = ask ?? askPlainly
    this.open = open
  }

  /** It has proven to be this node of the cluster. */
  adopt(socket: Socket, peer: NodeId): void {
    this.#proven.set(socket, peer)
  }

  /** Which node of this cluster is on the other end; null: nobody has proven to be one. */
  proven(socket: Socket): NodeId | null {
    return this.#proven.get(socket) ?? null
  }
}
