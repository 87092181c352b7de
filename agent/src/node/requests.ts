import type { CommittedEntry, Result } from '../machine/state-machine.ts'
import type { MembershipChange } from '../raft/configuration.ts'
import type { Effect, RejectReason } from '../raft/effect.ts'
import type { Input, Proposal } from '../raft/input.ts'
import { asLogIndex, type LogIndex, type NodeId, type RequestId } from '../raft/types.ts'
import type { NodeMeasures } from './measures.ts'
import type { ChangeOutcome, Outcome, ReadOutcome } from './outcome.ts'
import { Pending, type Settle } from './pending.ts'
import { PendingReads } from './pending-reads.ts'
import { Waiters } from './waiters.ts'

type Accepted = Extract<Effect, { kind: 'accepted' }>
type ReadReady = Extract<Effect, { kind: 'read-ready' }>
type Reject = Extract<Effect, { kind: 'reject' }>
type SettleChange = (outcome: ChangeOutcome) => void

interface Change {
  readonly settle: SettleChange
  /** why it cannot be, where the core says no more than that */
  readonly why: () => string
}

/**
 * Writes that may wait here at once, from arrival until this node's machine has them: what is above has no share in the
 * throughput and only makes all of them wait longer. Also bounds what is committed and not yet applied.
 */
const WRITES_MAX = 512

/** What the node's clients wait for: each is settled exactly once, by its deadline at the latest. */
export class Requests {
  readonly #commitTimeoutMs: number
  readonly #leader: () => NodeId | null
  readonly #pending: Pending
  readonly #reading = new PendingReads()
  readonly #waiters = new Waiters()
  /** handed to the core in the next turn, all together */
  #proposals: Proposal[] = []
  #reads: RequestId[] = []
  readonly #proposers = new Map<RequestId, Settle>()
  #changes: Extract<Input, { kind: 'change' }>[] = []
  readonly #changers = new Map<RequestId, Change>()
  #nextId: RequestId = 1

  constructor(commitTimeoutMs: number, leader: () => NodeId | null) {
    this.#commitTimeoutMs = commitTimeoutMs
    this.#leader = leader
    this.#pending = new Pending(() => ({ kind: 'not-leader', leader: leader() }))
  }

  /** Proposals whose fate is open. */
  get open(): number {
    return this.#pending.size
  }

  /** What waits, by kind; see `NodeMeasures`. */
  get waiting(): Omit<NodeMeasures['waiting'], 'persists'> {
    return {
      proposals: this.#proposals.length,
      uncommitted: this.#pending.size,
      reads: this.#reading.size,
      indexes: this.#waiters.size,
    }
  }

  propose(payload: Uint8Array): Promise<Outcome> {
    if (this.#proposals.length + this.#pending.size >= WRITES_MAX) {
      return Promise.resolve({ kind: 'overloaded' })
    }
    return new Promise(settle => {
      const id = this.#nextId++
      this.#proposals.push({ id, payload })
      this.#proposers.set(id, settle)
    })
  }

  /** @param why the change cannot be, in words; asked only then */
  change(change: MembershipChange, why: () => string): Promise<ChangeOutcome> {
    return new Promise(settle => {
      const id = this.#nextId++
      this.#changes.push({ kind: 'change', id, change })
      this.#changers.set(id, { settle, why })
    })
  }

  read(deadline: number): Promise<ReadOutcome> {
    return new Promise(settle => {
      const id = this.#nextId++
      this.#reads.push(id)
      this.#reading.add(id, deadline, settle)
    })
  }

  waitApplied(index: LogIndex, deadline: number): Promise<boolean> {
    return new Promise(resolve => this.#waiters.add({ index, deadline, resolve }))
  }

  /** What arrived since the last turn, as inputs of the core. */
  collect(): Input[] {
    const inputs: Input[] = this.#changes
    this.#changes = []
    if (this.#proposals.length > 0) inputs.push({ kind: 'propose', proposals: this.#proposals })
    if (this.#reads.length > 0) inputs.push({ kind: 'read', ids: this.#reads })
    this.#proposals = []
    this.#reads = []
    return inputs
  }

  accepted({ first, ids }: Accepted, now: number): void {
    const deadline = now + this.#commitTimeoutMs
    ids.forEach((id, at) => {
      const settle = this.#takeProposer(id)
      const position = { index: asLogIndex(first.index + at), term: first.term }
      if (settle !== null) this.#pending.add(position, deadline, settle)
    })
  }

  unchanged(id: RequestId): void {
    this.#changers.get(id)?.settle({ kind: 'unchanged' })
    this.#changers.delete(id)
  }

  rejected({ ids, reason }: Reject): void {
    for (const id of ids) {
      const change = this.#changers.get(id)
      change?.settle(this.#changeRejection(reason, change))
      this.#changers.delete(id)
      this.#proposers.get(id)?.(this.#rejection(reason))
      this.#proposers.delete(id)
    }
    this.#reading.refuse(ids)
  }

  readReady({ ids, index }: ReadReady, applied: LogIndex): void {
    this.#reading.ready(ids, index, applied)
  }

  /** A batch is in the machine: the answers of its proposals. */
  settle(entries: readonly CommittedEntry[], results: readonly (Result | null)[]): void {
    this.#pending.applied(entries, results)
  }

  /** The machine was replaced by one that is at `index`: what became of proposals up to there is not learnt here. */
  jumped(index: LogIndex): void {
    this.#pending.jumped(index)
  }

  /** This node's machine is at `index`. */
  applied(index: LogIndex): void {
    this.#waiters.applied(index)
    this.#reading.applied(index)
  }

  expire(now: number): void {
    this.#pending.expire(now)
    this.#reading.expire(now)
    this.#waiters.expire(now)
  }

  /** The node stops: what was not proposed never will be, the fate of the rest is not learnt here. */
  abandon(): void {
    for (const settle of this.#proposers.values()) settle({ kind: 'no-leader' })
    for (const { settle } of this.#changers.values()) settle({ kind: 'no-leader' })
    this.#proposers.clear()
    this.#changers.clear()
    this.#proposals = []
    this.#changes = []
    this.expire(Number.POSITIVE_INFINITY)
  }

  /** Of a proposal or of a change, which is then pending like any other entry. */
  #takeProposer(id: RequestId): Settle | null {
    const settle = this.#proposers.get(id)
    if (settle !== undefined) {
      this.#proposers.delete(id)
      return settle
    }
    const change = this.#changers.get(id)
    if (change === undefined) return null
    this.#changers.delete(id)
    return outcome => change.settle(outcome.kind === 'applied' ? { kind: 'applied' } : outcome)
  }

  #changeRejection(reason: RejectReason, { why }: Change): ChangeOutcome {
    if (reason === 'bad-change') return { kind: 'refused', why: why() }
    return reason === 'change-pending' ? { kind: reason } : this.#rejection(reason)
  }

  #rejection(reason: RejectReason): Exclude<Outcome, { kind: 'applied' }> {
    switch (reason) {
      case 'not-leader':
        return { kind: reason, leader: this.#leader() }
      case 'no-leader':
      case 'overloaded':
        return { kind: reason }
      default:
        throw new Error(`a proposal is no change: ${reason}`)
    }
  }
}
