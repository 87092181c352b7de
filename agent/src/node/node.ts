import type { Cancel } from '../clock/clock.ts'
import type { Idempotency } from '../machine/state-machine.ts'
import { type MembershipChange, planChange } from '../raft/configuration.ts'
import type { Input } from '../raft/input.ts'
import type { Raft } from '../raft/raft.ts'
import type { State } from '../raft/state.ts'
import type { LogIndex, NodeId } from '../raft/types.ts'
import { ChainChecks } from './chain-checks.ts'
import { Effects } from './effects.ts'
import { encodeEnvelope } from './envelope.ts'
import { Exclusion } from './exclusion.ts'
import { FlightRecorder } from './flight-recorder.ts'
import { Freshness } from './freshness.ts'
import type { Loop } from './loop.ts'
import { Counters, type NodeMeasures } from './measures.ts'
import { type Acquaintance, Membership } from './membership.ts'
import type { NodeApi, NodeStatus } from './node-api.ts'
import type { NodeOptions } from './node-options.ts'
import { NotServing } from './not-serving.ts'
import type { ChangeOutcome, Outcome, ReadOutcome, TransferOutcome } from './outcome.ts'
import { Requests } from './requests.ts'
import { recover, tickMsOf } from './start-up.ts'
import { LACKS_SNAPSHOT, statusOf } from './status.ts'
import { Transfers } from './transfers.ts'

/**
 * The only loop: collects what happened, steps the core, and starts what it asks for. One turn of
 * the event loop is one batch: all its proposals one step, all its writes one fsync, all its
 * messages one send. Holds no rule of Raft.
 */
export class RaftNode<Query, Answer> implements NodeApi<Query, Answer> {
  readonly #options: NodeOptions<Query, Answer>
  readonly #requests: Requests
  readonly #freshness: Freshness
  readonly #effects: Effects
  readonly #membership: Membership
  readonly #exclusion: Exclusion
  readonly #checks: ChainChecks
  readonly #transfers: Transfers
  readonly #recorder = new FlightRecorder()
  readonly #counters = new Counters()
  readonly #startedAt: number
  #raft: Raft | null = null
  #cancelTicks: Cancel | null = null
  #stopped = false
  #scheduled = false
  #tickDue = false
  #inbox: Input[] = []
  #seen = { term: 0, role: '', leader: '' as string | null }

  constructor(options: NodeOptions<Query, Answer>) {
    this.#options = options
    this.#startedAt = options.clock.now()
    this.#freshness = new Freshness(options.heartbeatIntervalMs)
    this.#membership = new Membership(options)
    this.#exclusion = new Exclusion(options.transport)
    this.#transfers = new Transfers(options, input => this.#post(input))
    this.#requests = new Requests(options.commitTimeoutMs, () => this.#running().state.leader)
    const loop: Loop = {
      state: () => this.#running().state,
      post: input => this.#post(input),
      fail: error => this.#fail(error),
    }
    this.#checks = new ChainChecks(options, loop, () => this.#requests.abandon())
    const concerned = {
      requests: this.#requests,
      membership: this.#membership,
      counters: this.#counters,
      checks: this.#checks,
    }
    this.#effects = new Effects(options, concerned, loop)
  }

  /** Recovers from disk, then joins the cluster. Rejects when the files must not be used. */
  async start(): Promise<void> {
    const { transport, clock } = this.#options
    const { raft, configuration, isFresh } = await recover(this.#options)
    this.#raft = raft
    this.#exclusion.start(isFresh)
    this.#effects.start(configuration)
    this.#membership.start(configuration)
    await this.#checks.start()
    await transport.start({
      onMessages: messages => {
        for (const message of messages) this.#post({ kind: 'receive', message })
      },
      onUnreachable: peer => this.#post({ kind: 'unreachable', peer }),
      onMet: peer => this.#membership.met(peer),
      onGone: peer => this.#onGone(peer),
      onChunk: (from, chunk) => this.#effects.snapshots.onChunk(from, chunk),
      onNotice: (from, notice) => this.#heard(from, notice),
    })
    this.#cancelTicks = clock.every(tickMsOf(this.#options), () => {
      this.#tickDue = true
      this.#schedule()
    })
  }

  /** Answers what is pending with `unknown`, ends the writes under way, and closes log and machine. */
  async stop(): Promise<void> {
    const { transport, machine, log } = this.#options
    this.#halt()
    await transport.close()
    await this.#effects.drained()
    await machine.close()
    await log.close()
  }

  propose(command: Uint8Array, idempotency: Idempotency | null = null): Promise<Outcome> {
    if (this.#stopped || this.#raft === null) return Promise.resolve({ kind: 'no-leader' })
    this.#schedule()
    const timeMs = Math.round(this.#options.clock.wallMs())
    return this.#requests.propose(encodeEnvelope({ timeMs, idempotency, command }))
  }

  /**
   * A machine that cannot be read is damaged: the node stops rather than answer some keys and not others.
   * @throws NotServing too
   */
  async query(query: Query): Promise<Answer> {
    this.#checks.mustBeTrusted()
    if (this.#stateIfAny()?.needsSnapshot === true) throw new NotServing(LACKS_SNAPSHOT)
    try {
      return await this.#options.machine.query(query)
    } catch (error) {
      this.#fail(error)
      throw error
    }
  }

  linearizable(timeoutMs: number): Promise<ReadOutcome> {
    if (this.#stopped || this.#raft === null) return Promise.resolve({ kind: 'no-leader' })
    this.#schedule()
    return this.#requests.read(this.#options.clock.now() + timeoutMs)
  }

  change(change: MembershipChange): Promise<ChangeOutcome> {
    if (this.#stopped || this.#raft === null) return Promise.resolve({ kind: 'no-leader' })
    this.#schedule()
    return this.#requests.change(change, () => {
      const plan = planChange(this.#running().state.configuration, change)
      return plan.kind === 'refused' ? plan.why : 'the members have changed meanwhile'
    })
  }

  /** Whom to dial, of a node that waits to be added: the members that let it join. */
  acquaint(peers: readonly Acquaintance[]): void {
    if (!this.#stopped) this.#membership.acquaint(peers)
  }

  /**
   * Gives the leadership to another member, if this node has it, so that a stop costs no election
   * timeout (thesis §3.10). Resolves once another leads and what was pending is settled, or after
   * `timeoutMs`.
   */
  handOver(timeoutMs: number): Promise<void> {
    return this.#transfers.handOver(this.#stateIfAny(), timeoutMs, this.#checks.distrusted)
  }

  transfer(to: NodeId | null): Promise<TransferOutcome> {
    return this.#transfers.transfer(this.#stateIfAny(), to)
  }

  waitApplied(index: LogIndex, timeoutMs: number): Promise<boolean> {
    const { state } = this.#running()
    if (state.applied >= index) return Promise.resolve(true)
    return this.#requests.waitApplied(index, this.#options.clock.now() + timeoutMs)
  }

  status(): NodeStatus {
    const { identity, contact, transport, machine, clock } = this.#options
    return statusOf({
      identity,
      contact,
      transport,
      machine,
      raft: this.#running(),
      membership: this.#membership,
      checks: this.#checks,
      snapshots: this.#effects.snapshots,
      freshness: this.#freshness,
      now: clock.now(),
      startedAt: this.#startedAt,
      stopping: this.#stopped,
    })
  }

  measures(): NodeMeasures {
    const { state, base, last } = this.#running()
    const { log } = this.#options
    const { snapshots } = this.#effects
    const { compactions } = snapshots
    const progress = state.role.kind === 'leader' ? [...state.role.progress] : []
    return {
      ...this.#counters.view(),
      ...{ compactions, snapshots: snapshots.measures(), logBytes: log.bytesAfter(base.index) },
      waiting: { ...this.#requests.waiting, persists: this.#effects.queuedPersists },
      peers: progress.map(([peer, { match }]) => ({ peer, lag: last.index - match })),
    }
  }

  /** Null while nothing can be asked of it. */
  #stateIfAny(): Readonly<State> | null {
    return this.#stopped || this.#raft === null ? null : this.#raft.state
  }

  #running(): Raft {
    if (this.#raft === null) throw new Error('the node has not started')
    return this.#raft
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
    const inputs = this.#inbox
    this.#inbox = []
    const excluded = this.#exclusion.holds(this.#running().state)
    for (const input of inputs) if (!excluded || input.kind !== 'receive') this.#step(input)
    for (const input of this.#requests.collect()) this.#step(input)
    if (this.#tickDue && !excluded) this.#tick()
    this.#requests.applied(this.#running().state.applied)
    this.#effects.flush()
  }

  #tick(): void {
    this.#tickDue = false
    this.#step({ kind: 'tick' })
    const now = this.#options.clock.now()
    this.#requests.expire(now)
    this.#effects.snapshots.tick(now)
    this.#freshness.prove(now, () => this.#requests.read(now + this.#options.electionTimeoutMs))
    const { role, leader } = this.#running().state
    this.#transfers.tick(now, leader, this.#requests.open)
    this.#checks.tick()
    if (role.kind === 'leader') this.#membership.introduce(change => this.change(change))
  }

  #heard(from: NodeId, notice: Uint8Array): void {
    if (!this.#stopped) this.#checks.heard(from, notice)
  }

  #onGone(peer: NodeId): void {
    const { leader, role } = this.#running().state
    if (peer === leader && role.kind === 'follower') this.#post({ kind: 'forget-leader' })
  }

  #step(input: Input): void {
    const raft = this.#running()
    if (input.kind === 'receive' && !this.#effects.snapshots.admits(input.message)) return
    this.#recorder.record(input, () => raft.image())
    for (const effect of raft.step(input)) this.#effects.perform(effect)
    this.#noticeChanges()
    if (input.kind === 'receive' && input.message.term === raft.state.term) {
      this.#freshness.received(input.message)
    }
  }

  #noticeChanges(): void {
    const { state, last } = this.#running()
    const { term, leader } = state
    const role = state.role.kind
    const seen = this.#seen
    if (term !== seen.term || role !== seen.role || leader !== seen.leader) {
      if (leader !== seen.leader || term !== seen.term) {
        this.#freshness.leaderChanged({ leads: role === 'leader', last: last.index })
      }
      this.#seen = { term, role, leader }
      this.#counters.changed(state.role, leader)
      this.#options.logger.info({ term, role, leader }, 'role')
    }
    this.#membership.setCurrent(leader !== null && this.#freshness.caughtUp(state.applied))
  }

  #halt(): void {
    this.#stopped = true
    this.#cancelTicks?.()
    this.#requests.abandon()
    this.#transfers.abandon()
  }

  #fail(error: unknown): void {
    if (this.#stopped) return
    this.#halt()
    this.#options.onFatal(error, this.#recorder.recording())
  }
}
