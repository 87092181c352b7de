import type { Clock } from '../clock/clock.ts'
import { isVoter, votersOf } from '../raft/configuration.ts'
import type { Input } from '../raft/input.ts'
import type { State } from '../raft/state.ts'
import type { Identity, NodeId } from '../raft/types.ts'
import type { TransferOutcome } from './outcome.ts'

export interface TransfersOptions {
  readonly identity: Identity
  readonly clock: Clock
  readonly electionTimeoutMs: number
}

interface Waiting {
  readonly deadline: number
  /** what is pending here has to be answered as well */
  readonly settled: boolean
  /** given who leads now; null: the time was over */
  readonly done: (leader: NodeId | null) => void
}

/** Hands the leadership to another member, and waits until one has it. */
export class Transfers {
  readonly #options: TransfersOptions
  readonly #post: (input: Input) => void
  #waiting: Waiting[] = []

  constructor(options: TransfersOptions, post: (input: Input) => void) {
    this.#options = options
    this.#post = post
  }

  /**
   * To whoever is nearest, if this node leads. Resolves once another does and what was pending here
   * is settled, or after `timeoutMs`.
   * @param state null: the node is stopped
   * @param distrusted who would refuse, since its machine is known to be wrong
   */
  async handOver(
    state: Readonly<State> | null,
    timeoutMs: number,
    distrusted: readonly NodeId[] = [],
  ): Promise<void> {
    if (state?.role.kind !== 'leader' || !this.#hasOtherVoters(state)) return
    const to = distrusted.length === 0 ? null : this.#trusted(state, distrusted)
    this.#post({ kind: 'transfer', to })
    await this.#another(timeoutMs, true)
  }

  /** @param to null: whoever is nearest */
  async transfer(state: Readonly<State> | null, to: NodeId | null): Promise<TransferOutcome> {
    const leader = state?.leader ?? null
    if (state === null || leader === null) return { kind: 'no-leader' }
    if (to === leader) return { kind: 'done', leader }
    if (state.role.kind !== 'leader') return { kind: 'not-leader', leader }
    if (to !== null && !votersOf(state.configuration).includes(to)) {
      return { kind: 'refused', why: `${to} does not vote` }
    }
    if (!this.#hasOtherVoters(state)) return { kind: 'refused', why: 'nobody else votes' }
    this.#post({ kind: 'transfer', to })
    // The core gives up after one election timeout.
    const successor = await this.#another(2 * this.#options.electionTimeoutMs, false)
    return successor === null ? { kind: 'failed' } : { kind: 'done', leader: successor }
  }

  /** @param open proposals of this node whose fate is not known */
  tick(now: number, leader: NodeId | null, open: number): void {
    if (this.#waiting.length === 0) return
    const other = leader === this.#options.identity.nodeId ? null : leader
    const isOver = ({ deadline, settled }: Waiting): boolean =>
      now >= deadline || (other !== null && (!settled || open === 0))
    const over = this.#waiting.filter(isOver)
    this.#waiting = this.#waiting.filter(each => !isOver(each))
    for (const { done } of over) done(other)
  }

  /** The node stops. */
  abandon(): void {
    this.tick(Number.POSITIVE_INFINITY, null, 0)
  }

  #another(withinMs: number, settled: boolean): Promise<NodeId | null> {
    const deadline = this.#options.clock.now() + withinMs
    return new Promise(done => {
      this.#waiting.push({ deadline, settled, done })
    })
  }

  /** The nearest of the others; null: there is none. */
  #trusted({ role, configuration }: Readonly<State>, distrusted: readonly NodeId[]): NodeId | null {
    if (role.kind !== 'leader') return null
    const voters = votersOf(configuration).filter(id => !distrusted.includes(id))
    const reached = [...role.progress].filter(([id, peer]) => peer.reachable && voters.includes(id))
    return reached.sort(([, a], [, b]) => b.match - a.match)[0]?.[0] ?? null
  }

  #hasOtherVoters({ configuration }: Readonly<State>): boolean {
    const { nodeId } = this.#options.identity
    return configuration.members.some(({ id }) => id !== nodeId && isVoter(configuration, id))
  }
}
