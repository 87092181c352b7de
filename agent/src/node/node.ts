import type { Cancel, Clock } from '../clock/clock.ts'
import { unreachable } from '../lib/assert.ts'
import type { LogStore } from '../log/log-store.ts'
import type { CommittedEntry, Result, StateMachine } from '../machine/state-machine.ts'
import type { Effect, Persist, RejectReason } from '../raft/effect.ts'
import type { Input, Proposal } from '../raft/input.ts'
import type { Message } from '../raft/message.ts'
import { Raft } from '../raft/raft.ts'
import { DEFAULT_LIMITS } from '../raft/state.ts'
import type { Identity, LogIndex, NodeId, RequestId } from '../raft/types.ts'
import type { Transport } from '../transport/transport.ts'
import { Applier } from './applier.ts'
import { Freshness } from './freshness.ts'
import { LogWriter } from './log-writer.ts'
import type { Logger } from './logger.ts'
import type { Member, NodeApi, NodeStatus } from './node-api.ts'
import type { Outcome } from './outcome.ts'
import { Pending, type Settle } from './pending.ts'
import { checkRecovered } from './recovery.ts'
import { Waiters } from './waiters.ts'

/** What a node is made of, and its times in milliseconds. */
export interface NodeOptions<Query, Answer> {
  readonly identity: Identity
  /** All members, this node included; the same on every node. */
  readonly members: readonly Member[]
  readonly log: LogStore
  readonly machine: StateMachine<Query, Answer>
  readonly transport: Transport
  readonly clock: Clock
  readonly logger: Logger
  /** For the election timeouts; should differ between nodes and starts. */
  readonly seed: number
  readonly electionTimeoutMs: number
  readonly heartbeatIntervalMs: number
  /** After this a proposal of unknown fate is answered `unknown`. */
  readonly commitTimeoutMs: number
  /** The node has stopped itself: a disk failed, or an invariant broke. */
  readonly onFatal: (error: unknown) => void
}

/** Ticks in a heartbeat interval: how finely election timeouts are spread. */
const TICKS_PER_HEARTBEAT = 5

/**
 * The only loop: collects what happened, steps the core, and starts what it asks for. One turn of
 * the event loop is one batch: all its proposals one step, all its writes one fsync, all its
 * messages one send. Holds no rule of Raft.
 */
export class RaftNode<Query, Answer> implements NodeApi<Query, Answer> {
  readonly #options: NodeOptions<Query, Answer>
  readonly #pending: Pending
  readonly #waiters = new Waiters()
  readonly #freshness: Freshness
  readonly #writer: LogWriter
  readonly #applier: Applier
  readonly #startedAt: number
  #raft: Raft | null = null
  #cancelTicks: Cancel | null = null
  #stopped = false
  #scheduled = false
  #tickDue = false
  #inbox: Input[] = []
  #proposals: Proposal[] = []
  #proposers = new Map<RequestId, Settle>()
  #nextId: RequestId = 1
  #outgoing: Message[] = []
  #seen = { term: 0, role: '', leader: '' as string | null }

  constructor(options: NodeOptions<Query, Answer>) {
    this.#options = options
    this.#startedAt = options.clock.now()
    this.#freshness = new Freshness(options.members.length)
    this.#pending = new Pending(() => ({ kind: 'not-leader', leader: this.#leader() }))
    const onError = (error: unknown) => this.#fail(error)
    this.#writer = new LogWriter(options.log, persists => this.#onDurable(persists), onError)
    this.#applier = new Applier(options.log, options.machine, {
      onApplied: (entries, results) => this.#onApplied(entries, results),
      onError,
    })
  }

  /** Recovers from disk, then joins the cluster. Rejects when the files must not be used. */
  async start(): Promise<void> {
    const { identity, members, log, machine, transport, clock, logger } = this.#options
    const recovered = await log.open(identity)
    const applied = await machine.open(identity)
    checkRecovered(recovered, applied)
    const tickMs = this.#options.heartbeatIntervalMs / TICKS_PER_HEARTBEAT
    this.#raft = new Raft(
      {
        ...DEFAULT_LIMITS,
        id: identity.nodeId,
        voters: members.map(member => member.id),
        seed: this.#options.seed,
        electionTicks: Math.round(this.#options.electionTimeoutMs / tickMs),
        heartbeatTicks: TICKS_PER_HEARTBEAT,
      },
      { ...recovered, applied },
    )
    logger.info({ term: recovered.hardState.term, last: recovered.last, applied }, 'recovered')
    await transport.start({
      onMessages: messages => {
        for (const message of messages) this.#post({ kind: 'receive', message })
      },
      onUnreachable: peer => this.#post({ kind: 'unreachable', peer }),
    })
    this.#cancelTicks = clock.every(tickMs, () => {
      this.#tickDue = true
      this.#schedule()
    })
  }

  /** Answers what is pending with `unknown`, ends the writes under way, and closes log and machine. */
  async stop(): Promise<void> {
    const { transport, machine, log } = this.#options
    this.#halt()
    await transport.close()
    await this.#writer.drained()
    await this.#applier.drained()
    await machine.close()
    await log.close()
  }

  propose(command: Uint8Array): Promise<Outcome> {
    if (this.#stopped || this.#raft === null) return Promise.resolve({ kind: 'no-leader' })
    return new Promise(settle => {
      const id = this.#nextId++
      this.#proposals.push({ id, payload: command })
      this.#proposers.set(id, settle)
      this.#schedule()
    })
  }

  /** A machine that cannot be read is damaged: the node stops rather than answer some keys and not others. */
  async query(query: Query): Promise<Answer> {
    try {
      return await this.#options.machine.query(query)
    } catch (error) {
      this.#fail(error)
      throw error
    }
  }

  waitApplied(index: LogIndex, timeoutMs: number): Promise<boolean> {
    const { state } = this.#running()
    if (state.applied >= index) return Promise.resolve(true)
    const deadline = this.#options.clock.now() + timeoutMs
    return new Promise(resolve => this.#waiters.add({ index, deadline, resolve }))
  }

  status(): NodeStatus {
    const { identity, members, transport, clock } = this.#options
    const { state, last } = this.#running()
    const leads = state.role.kind === 'leader'
    const notReady = this.#notReady()
    return {
      id: identity.nodeId,
      role: state.role.kind,
      term: state.term,
      leader: state.leader,
      commitIndex: state.commit,
      appliedIndex: state.applied,
      lastIndex: last.index,
      members,
      ready: notReady === '',
      notReady,
      stalenessMs: this.#freshness.stalenessMs(leads, clock.now()),
      uptimeMs: Math.round(clock.now() - this.#startedAt),
      // Asked with every request for its headers, for its links by operators only.
      get links() {
        return transport.links()
      },
    }
  }

  #notReady(): string {
    const { state } = this.#running()
    if (this.#stopped) return 'stopping'
    if (state.leader === null) return 'no leader known'
    if (!this.#freshness.caughtUp(state.applied)) return 'catching up with the leader'
    return ''
  }

  #running(): Raft {
    if (this.#raft === null) throw new Error('the node has not started')
    return this.#raft
  }

  #leader(): NodeId | null {
    return this.#running().state.leader
  }

  #post(input: Input): void {
    if (this.#stopped) return
    this.#inbox.push(input)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled || this.#stopped) return
    this.#scheduled = true
    this.#options.clock.soon(() => {
      this.#scheduled = false
      if (this.#stopped) return
      try {
        this.#turn()
      } catch (error) {
        this.#fail(error)
      }
    })
  }

  /** Messages enter before the tick, and there is one tick at most: a stall is no dead leader. */
  #turn(): void {
    const { clock, transport } = this.#options
    const inputs = this.#inbox
    this.#inbox = []
    for (const input of inputs) this.#step(input)
    if (this.#proposals.length > 0) {
      const proposals = this.#proposals
      this.#proposals = []
      this.#step({ kind: 'propose', proposals })
    }
    if (this.#tickDue) {
      this.#tickDue = false
      this.#step({ kind: 'tick' })
      this.#pending.expire(clock.now())
      this.#waiters.expire(clock.now())
    }
    this.#waiters.applied(this.#running().state.applied)
    if (this.#outgoing.length > 0) {
      const messages = this.#outgoing
      this.#outgoing = []
      transport.send(messages)
    }
    this.#writer.kick(this.#running().state.applied)
    this.#applier.kick()
  }

  #step(input: Input): void {
    const raft = this.#running()
    for (const effect of raft.step(input)) this.#perform(effect)
    this.#noticeChanges()
    if (input.kind === 'receive' && input.message.term === raft.state.term) {
      this.#freshness.received(input.message, raft.state.applied, this.#options.clock.now())
    }
  }

  #perform(effect: Effect): void {
    switch (effect.kind) {
      case 'send':
        this.#outgoing.push(effect.message)
        break
      case 'persist':
        this.#writer.submit(effect)
        break
      case 'apply':
        this.#applier.submit(effect)
        break
      case 'load':
        this.#load(effect)
        break
      case 'accepted':
        this.#accepted(effect)
        break
      case 'reject':
        for (const id of effect.ids) this.#settle(id, this.#rejection(effect.reason))
        break
      default:
        unreachable(effect)
    }
  }

  #load({ to, from, upTo, term, bytesMax }: Extract<Effect, { kind: 'load' }>): void {
    this.#options.log.read(from, upTo, bytesMax).then(
      entries => this.#post({ kind: 'loaded', to, term, entries }),
      error => this.#fail(error),
    )
  }

  #accepted({ first, ids }: Extract<Effect, { kind: 'accepted' }>): void {
    const deadline = this.#options.clock.now() + this.#options.commitTimeoutMs
    ids.forEach((id, at) => {
      const settle = this.#proposers.get(id)
      this.#proposers.delete(id)
      const position = { index: (first.index + at) as LogIndex, term: first.term }
      if (settle !== undefined) this.#pending.add(position, deadline, settle)
    })
  }

  #rejection(reason: RejectReason): Outcome {
    return reason === 'not-leader' ? { kind: reason, leader: this.#leader() } : { kind: reason }
  }

  #settle(id: RequestId, outcome: Outcome): void {
    this.#proposers.get(id)?.(outcome)
    this.#proposers.delete(id)
  }

  #onDurable(persists: readonly Persist[]): void {
    for (const { whenDurable } of persists) this.#outgoing.push(...whenDurable)
    // The last receipt speaks for all before it.
    const receipt = persists.at(-1)?.receipt
    if (receipt !== undefined) this.#post({ kind: 'persisted', receipt })
  }

  #onApplied(entries: readonly CommittedEntry[], results: readonly (Result | null)[]): void {
    const last = entries.at(-1)
    if (last === undefined) return
    this.#pending.applied(entries, results)
    this.#freshness.applied(last.position.index)
    this.#post({ kind: 'applied', position: last.position })
  }

  #noticeChanges(): void {
    const { state, last } = this.#running()
    const { term, leader } = state
    const role = state.role.kind
    if (term === this.#seen.term && role === this.#seen.role && leader === this.#seen.leader) return
    if (leader !== this.#seen.leader || term !== this.#seen.term) {
      this.#freshness.leaderChanged({ leads: role === 'leader', last: last.index })
    }
    this.#seen = { term, role, leader }
    this.#options.logger.info({ term, role, leader }, 'role')
  }

  #halt(): void {
    this.#stopped = true
    this.#cancelTicks?.()
    for (const settle of this.#proposers.values()) settle({ kind: 'no-leader' })
    this.#proposers.clear()
    this.#pending.abandon()
    this.#waiters.expire(Number.POSITIVE_INFINITY)
  }

  #fail(error: unknown): void {
    if (this.#stopped) return
    this.#halt()
    this.#options.onFatal(error)
  }
}
