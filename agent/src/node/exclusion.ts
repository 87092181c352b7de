import type { State } from '../raft/state.ts'
import type { Transport } from '../transport/transport.ts'

/**
 * A wiped node that its peers know as another one: until it is let in it neither campaigns nor votes,
 * or two of them could found the cluster anew and lose what it holds.
 */
export class Exclusion {
  readonly #transport: Transport
  /** nothing of any cluster was on the disks, nor has come since */
  #fresh = false

  constructor(transport: Transport) {
    this.#transport = transport
  }

  start(fresh: boolean): void {
    this.#fresh = fresh
  }

  holds({ commit }: Readonly<State>): boolean {
    if (commit > 0) this.#fresh = false
    return this.#fresh && this.#transport.links().some(link => link.stranger)
  }
}
