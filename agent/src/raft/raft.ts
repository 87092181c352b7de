import { assert, unreachable } from '../lib/assert.ts'
import { commitByMajority } from './commit.ts'
import type { Configuration } from './configuration.ts'
import type { Effect, Receipt } from './effect.ts'
import {
  onElectionTimeout,
  onForgetLeader,
  onRequestVote,
  onRequestVoteReply,
  onTimeoutNow,
  onVoteDurable,
} from './election.ts'
import { answerStaleLeader, onAppendEntries, onHeartbeat } from './following.ts'
import { type CoreImage, coreFrom, imageOf } from './image.ts'
import type { Input } from './input.ts'
import {
  checkQuorum,
  onAppendEntriesRefusal,
  onAppendEntriesReply,
  onHeartbeatReply,
  onPropose,
  onProposeCheck,
  onUnreachable,
} from './leading.ts'
import { leaveJoint, onChange, onConfigurationApplied, promoteLearners } from './membership.ts'
import type { Message, RequestVote } from './message.ts'
import { advanceReads, onRead, onReadIndex, onReadIndexReply, retryReads } from './reading.ts'
import { broadcastHeartbeat, onLoaded } from './replication.ts'
import { becomeFollower } from './role.ts'
import {
  beginInstall,
  onCompacted,
  onInstallSnapshot,
  onSnapshotInstalled,
  onSnapshotSent,
} from './snapshot.ts'
import { type Core, createCore, type RaftOptions, type Recovered, type State } from './state.ts'
import { giveUpTransfer, onStandAside, onTransfer, stepAside } from './transfer.ts'
import { asLogIndex, type LogIndex, type LogPosition } from './types.ts'

/** Only a leader sends these: an older one has to learn that it is deposed. */
const FROM_LEADERS: ReadonlySet<Message['kind']> = new Set([
  'append-entries',
  'heartbeat',
  'install-snapshot',
])

/**
 * Raft's consensus algorithm (Ongaro and Ousterhout 2014; Ongaro's thesis) as one pure function:
 * an input happened, these effects are asked for. No I/O, no clock, no chance but the seed: the
 * same inputs give the same effects, so a run can be replayed.
 *
 * An assertion that fails leaves the core unusable: the node stops and keeps its files.
 */
export class Raft {
  readonly #core: Core

  /** @param from what a node found on disk at its start, or a core as it once was */
  constructor(options: RaftOptions, from: Recovered | CoreImage) {
    this.#core = 'log' in from ? coreFrom(from) : start(options, from)
  }

  /** Between two steps: all that the next ones depend on. */
  image(): CoreImage {
    return imageOf(this.#core)
  }

  /** For reading only; it changes with every step. */
  get state(): Readonly<State> {
    return this.#core.state
  }

  /** What the log was compacted up to. */
  get base(): LogPosition {
    return this.#core.log.base
  }

  get last(): LogPosition {
    return this.#core.log.last
  }

  get durable(): LogIndex {
    return this.#core.log.durable
  }

  /** One event; the effects are to be started in the order given. */
  step(input: Input): Effect[] {
    const core = this.#core
    this.#dispatch(input)
    stepAside(core)
    leaveJoint(core)
    advanceReads(core)
    beginInstall(core)
    this.#applyCommitted()
    const { state, log, out } = core
    assert(state.commit <= log.last.index, 'commitIndex never passes the log')
    assert(state.applied <= state.applying, 'lastApplied never passes what was handed over')
    return out.drain({ term: state.term, vote: state.vote, commit: state.commit }, log)
  }

  #dispatch(input: Input): void {
    const core = this.#core
    switch (input.kind) {
      case 'tick':
        this.#tick()
        break
      case 'receive':
        this.#receive(input.message)
        break
      case 'propose':
        onPropose(core, input.proposals)
        break
      case 'read':
        onRead(core, input.ids)
        break
      case 'change':
        onChange(core, input.id, input.change)
        break
      case 'propose-check':
        onProposeCheck(core, input.id)
        break
      case 'transfer':
        onTransfer(core, input.to)
        break
      case 'persisted':
        this.#persisted(input.receipt)
        break
      case 'loaded':
        onLoaded(core, input)
        break
      case 'applied':
        this.#applied(input.position, input.configuration)
        break
      case 'compacted':
        onCompacted(core, input.base)
        break
      case 'snapshot-sent':
        onSnapshotSent(core, input.to, input.ok)
        break
      case 'snapshot-installed':
        onSnapshotInstalled(core, input.position, input.configuration)
        break
      case 'stand-aside':
        onStandAside(core)
        break
      case 'forget-leader':
        onForgetLeader(core)
        break
      case 'unreachable':
        onUnreachable(core, input.peer)
        break
      default:
        unreachable(input)
    }
  }

  #tick(): void {
    const core = this.#core
    const { options, state } = core
    state.electionElapsed++
    if (state.role.kind !== 'leader') {
      if (state.electionElapsed >= state.electionTimeout) onElectionTimeout(core)
      retryReads(core)
      return
    }
    state.heartbeatElapsed++
    giveUpTransfer(core, state.role)
    if (state.electionElapsed % options.heartbeatTicks === 0) promoteLearners(core)
    if (state.electionElapsed >= options.electionTicks) checkQuorum(core)
    if (state.heartbeatElapsed >= options.heartbeatTicks) broadcastHeartbeat(core)
  }

  #receive(message: Message): void {
    const core = this.#core
    const { state } = core
    assert(message.to === core.options.id, 'a message reaches the node it names')
    if (message.kind === 'request-vote') {
      onRequestVote(core, message)
      return
    }
    if (message.term < state.term) {
      if (FROM_LEADERS.has(message.kind)) answerStaleLeader(core, message)
      return
    }
    // A granted pre-vote names a term that nobody has entered yet.
    const grantedPreVote =
      message.kind === 'request-vote-reply' && message.preVote && message.granted
    if (message.term > state.term && !grantedPreVote) becomeFollower(core, message.term, null)
    this.#receiveCurrent(message)
  }

  /** Messages of the current term. */
  #receiveCurrent(message: Exclude<Message, RequestVote>): void {
    const core = this.#core
    switch (message.kind) {
      case 'request-vote-reply':
        onRequestVoteReply(core, message)
        break
      case 'append-entries':
        onAppendEntries(core, message)
        break
      case 'append-entries-reply':
        onAppendEntriesReply(core, message)
        break
      case 'append-entries-refusal':
        onAppendEntriesRefusal(core, message)
        break
      case 'heartbeat':
        onHeartbeat(core, message)
        break
      case 'heartbeat-reply':
        onHeartbeatReply(core, message)
        break
      case 'read-index':
        onReadIndex(core, message)
        break
      case 'read-index-reply':
        onReadIndexReply(core, message)
        break
      case 'install-snapshot':
        onInstallSnapshot(core, message)
        break
      case 'timeout-now':
        onTimeoutNow(core)
        break
      default:
        unreachable(message)
    }
  }

  #persisted(receipt: Receipt): void {
    const core = this.#core
    core.out.persisted(receipt)
    // A receipt of an earlier term may speak of entries that were since replaced: the next one attests anew.
    if (receipt.term === core.state.term) core.log.confirm(receipt.last)
    // Until a snapshot is there nothing is applied, which would make room.
    if (core.state.needsSnapshot) core.log.evict(core.log.durable, core.options.cacheBytesMax)
    onVoteDurable(core)
    commitByMajority(core)
  }

  #applied(position: LogPosition, configuration: Configuration | null): void {
    const { options, state, log } = this.#core
    assert(position.index >= state.applied, 'lastApplied never decreases')
    assert(log.termAt(position.index) === position.term, 'the machine applied what the log holds')
    const changed = log.configures(state.applied, position.index)
    assert(configuration !== null || !changed, 'an applied configuration comes into force')
    state.applied = position.index
    log.trim(state.applied, heldByAll(state), options.cacheBytesMax)
    if (configuration !== null) onConfigurationApplied(this.#core, configuration)
  }

  /** Hands over what is committed AND on the own disk: the machine never holds what a crash takes from the log. */
  #applyCommitted(): void {
    const { state, log, out } = this.#core
    if (state.install !== null || state.needsSnapshot) return
    const upTo = asLogIndex(Math.min(state.commit, log.durable))
    if (upTo <= state.applying) return
    const from = asLogIndex(state.applying + 1)
    const entries = log.slice(from, upTo, Number.POSITIVE_INFINITY)
    out.add({ kind: 'apply', from, upTo, entries })
    state.applying = upTo
  }
}

/** Up to where this node has applied the log and, where it leads, every peer has it. */
function heldByAll({ applied, role }: State): LogIndex {
  let held = applied
  if (role.kind === 'leader') {
    for (const { match } of role.progress.values()) if (match < held) held = match
  }
  return held
}

function start(options: RaftOptions, recovered: Recovered): Core {
  const { hardState, last, applied } = recovered
  assert(hardState.term >= last.term, 'the term on disk is not behind the log')
  assert(hardState.term >= applied.term, 'the term on disk is not behind the machine')
  assert(hardState.commit <= last.index, 'commitIndex never passes the log')
  assert(applied.index <= last.index, 'the machine holds nothing that the log has lost')
  return createCore(options, recovered)
}
