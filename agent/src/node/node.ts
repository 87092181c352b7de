import type { Cancel, Clock } from '../clock/clock.ts'
import { unreachable } from '../lib/assert.ts'
import type { Histogram } from '../lib/histogram.ts'
import type { LogStore } from '../log/log-store.ts'
import type { CommittedEntry, Idempotency, Result, StateMachine } from '../machine/state-machine.ts'
import { initialConfiguration } from '../raft/configuration.ts'
import type { Effect, Persist } from '../raft/effect.ts'
import type { Input } from '../raft/input.ts'
import type { Message } from '../raft/message.ts'
import { Raft } from '../raft/raft.ts'
import { DEFAULT_LIMITS } from '../raft/state.ts'
import { type Identity, type LogIndex, ORIGIN } from '../raft/types.ts'
import type { Transport } from '../transport/transport.ts'
import { Applier, type ApplierEvents } from './applier.ts'
import { encodeEnvelope } from './envelope.ts'
import { FlightRecorder, type Recording } from './flight-recorder.ts'
import { Freshness } from './freshness.ts'
import { LogWriter } from './log-writer.ts'
import type { Logger } from './logger.ts'
import { Counters, type NodeMeasures, Stopwatch } from './measures.ts'
import type { Member, NodeApi, NodeStatus } from './node-api.ts'
import type { Outcome, ReadOutcome } from './outcome.ts'
import { checkRecovered } from './recovery.ts'
import { Requests } from './requests.ts'

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
  /** The node has stopped itself: a disk failed, or an invariant broke. With what led to it. */
  readonly onFatal: (error: unknown, recording: Recording | null) => void
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
  readonly #requests: Requests
  readonly #freshness: Freshness
  readonly #writer: LogWriter
  readonly #applier: Applier
  readonly #recorder = new FlightRecorder()
  readonly #counters = new Counters()
  readonly #startedAt: number
  #raft: Raft | null = null
  #cancelTicks: Cancel | null = null
  #stopped = false
  #scheduled = false
  #tickDue = false
  #inbox: Input[] = []
  #outgoing: Message[] = []
  #handingOver: { readonly deadline: number; readonly done: () => void } | null = null
  #seen = { term: 0, role: '', leader: '' as string | null }

  constructor(options: NodeOptions<Query, Answer>) {
    this.#options = options
    this.#startedAt = options.clock.now()
    this.#freshness = new Freshness(options.members.length)
    this.#requests = new Requests(options.commitTimeoutMs, () => this.#running().state.leader)
    const onError = (error: unknown) => this.#fail(error)
    const stopwatch = (into: Histogram) => new Stopwatch(() => options.clock.now(), into)
    const { persistSeconds, applySeconds } = this.#counters
    const onDurable = (persists: readonly Persist[]) => this.#onDurable(persists)
    this.#writer = new LogWriter(options.log, onDurable, onError, stopwatch(persistSeconds))
    const onApplied: ApplierEvents['onApplied'] = (...applied) => this.#onApplied(...applied)
    const events = { onApplied, onError }
    this.#applier = new Applier(options.log, options.machine, events, stopwatch(applySeconds))
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
        seed: this.#options.seed,
        electionTicks: Math.round(this.#options.electionTimeoutMs / tickMs),
        heartbeatTicks: TICKS_PER_HEARTBEAT,
      },
      {
        ...recovered,
        base: ORIGIN,
        applied,
        configuration: initialConfiguration(members),
      },
    )
    logger.info({ term: recovered.hardState.term, last: recovered.last, applied }, 'recovered')
    transport.setMembership({
      members: members.map(({ id, raftBind }) => ({ id, raftBind, incarnation: '' })),
      open: false,
    })
    await transport.start({
      onMessages: messages => {
        for (const message of messages) this.#post({ kind: 'receive', message })
      },
      onUnreachable: peer => this.#post({ kind: 'unreachable', peer }),
      onMet: () => {},
      onGone: () => {},
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

  propose(command: Uint8Array, idempotency: Idempotency | null = null): Promise<Outcome> {
    if (this.#stopped || this.#raft === null) return Promise.resolve({ kind: 'no-leader' })
    this.#schedule()
    const timeMs = Math.round(this.#options.clock.wallMs())
    return this.#requests.propose(encodeEnvelope({ timeMs, idempotency, command }))
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

  linearizable(timeoutMs: number): Promise<ReadOutcome> {
    if (this.#stopped || this.#raft === null) return Promise.resolve({ kind: 'no-leader' })
    this.#schedule()
    return this.#requests.read(this.#options.clock.now() + timeoutMs)
  }

  /**
   * Gives the leadership to another member, if this node has it, so that a stop costs no election
   * timeout (thesis §3.10). Resolves once another leads and what was pending is settled, or after
   * `timeoutMs`.
   */
  handOver(timeoutMs: number): Promise<void> {
    if (this.#stopped || this.#running().state.role.kind !== 'leader') return Promise.resolve()
    if (this.#options.members.length === 1) return Promise.resolve()
    return new Promise(done => {
      this.#handingOver = { deadline: this.#options.clock.now() + timeoutMs, done }
      this.#post({ kind: 'transfer', to: null })
    })
  }

  waitApplied(index: LogIndex, timeoutMs: number): Promise<boolean> {
    const { state } = this.#running()
    if (state.applied >= index) return Promise.resolve(true)
    return this.#requests.waitApplied(index, this.#options.clock.now() + timeoutMs)
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

  measures(): NodeMeasures {
    const { state, last } = this.#running()
    const progress = state.role.kind === 'leader' ? [...state.role.progress] : []
    return {
      ...this.#counters.view(),
      waiting: { ...this.#requests.waiting, persists: this.#writer.queued },
      peers: progress.map(([peer, { match }]) => ({ peer, lag: last.index - match })),
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
    for (const input of inputs) this.#step(input)
    for (const input of this.#requests.collect()) this.#step(input)
    if (this.#tickDue) this.#tick()
    this.#requests.applied(this.#running().state.applied)
    if (this.#outgoing.length > 0) {
      const messages = this.#outgoing
      this.#outgoing = []
      this.#options.transport.send(messages)
    }
    this.#writer.kick(this.#running().state.applied)
    this.#applier.kick()
  }

  #tick(): void {
    this.#tickDue = false
    this.#step({ kind: 'tick' })
    const now = this.#options.clock.now()
    this.#requests.expire(now)
    const over = this.#handingOver
    const { role, leader } = this.#running().state
    const done = role.kind !== 'leader' && leader !== null && this.#requests.open === 0
    if (over === null || (!done && now < over.deadline)) return
    this.#handingOver = null
    over.done()
  }

  #step(input: Input): void {
    const raft = this.#running()
    this.#recorder.record(input, () => raft.image())
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
        this.#requests.accepted(effect, this.#options.clock.now())
        break
      case 'unchanged':
        break
      case 'send-snapshot':
      case 'install-snapshot':
        throw new Error('this node neither sends nor takes snapshots')
      case 'read-ready':
        this.#requests.readReady(effect, this.#running().state.applied)
        break
      case 'reject':
        this.#requests.rejected(effect)
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

  #onDurable(persists: readonly Persist[]): void {
    for (const { whenDurable } of persists) this.#outgoing.push(...whenDurable)
    // The last receipt speaks for all before it.
    const receipt = persists.at(-1)?.receipt
    if (receipt !== undefined) this.#post({ kind: 'persisted', receipt })
  }

  #onApplied(entries: readonly CommittedEntry[], results: readonly (Result | null)[]): void {
    const last = entries.at(-1)
    if (last === undefined) return
    this.#requests.settle(entries, results)
    this.#freshness.applied(last.position.index)
    this.#post({ kind: 'applied', position: last.position, configuration: null })
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
    this.#counters.changed(state.role, leader)
    this.#options.logger.info({ term, role, leader }, 'role')
  }

  #halt(): void {
    this.#stopped = true
    this.#cancelTicks?.()
    this.#requests.abandon()
    this.#handingOver?.done()
  }

  #fail(error: unknown): void {
    if (this.#stopped) return
    this.#halt()
    this.#options.onFatal(error, this.#recorder.recording())
  }
}
