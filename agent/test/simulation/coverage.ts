import {
  type Configuration,
  decodeConfiguration,
  isJoint,
  isVoter,
  memberOf,
} from '../../src/raft/configuration.ts'
import type { Effect } from '../../src/raft/effect.ts'
import type { Input } from '../../src/raft/input.ts'
import type { Leader } from '../../src/raft/state.ts'
import type { Entry } from '../../src/raft/types.ts'
import type { LogMirror } from './history.ts'
import type { SimulatedNode } from './node.ts'
import type { Tally } from './tally.ts'

/** States that matter; a run that never reaches one proves nothing about it. */
export const STATES = [
  'EIO stop',
  'ENOSPC stop',
  'append refused',
  'apply from disk',
  'commit of an older term through a newer one',
  'commit on followers alone',
  'completion of an earlier term',
  'change asks for what is so',
  'change overwritten',
  'client gave up in doubt',
  'damage found at start',
  'damage stop',
  'entries loaded',
  'joint consensus entered',
  'joint consensus left',
  'joint consensus overwritten',
  'leader deposed with uncommitted entries',
  'leader forgotten',
  'leader removed',
  'leader stepped down unheard',
  'follower stood aside',
  'leader stood aside',
  'leaders',
  'learner promoted',
  'new incarnation votes',
  'only a majority healed',
  'pre-vote refused',
  'read answered',
  'read asked again',
  'read asks the next leader',
  'read at a deposed leader',
  'read refused',
  'read waits for the first commit',
  'reads share a round',
  'refused: bad-change',
  'refused: change-pending',
  'refused: no-leader',
  'refused: not-leader',
  'refused: overloaded',
  'machine refilled by a snapshot',
  'retry answered from a session restored by snapshot',
  'retry answered from memory',
  'log compacted',
  'snapshot installed',
  'snapshot over a conflicting log',
  'snapshot refused during an install',
  'snapshot replaced on its way',
  'snapshot resumed',
  'chunk out of order',
  'snapshot sent',
  'stranger node refused',
  'torn record cut',
  'transfer done',
  'transfer given up',
  'transfer waits for the target',
  'truncation of more than one entry',
  'vote refused',
  'window full',
  'wiped node refused',
  'write answered',
  'write superseded',
] as const

interface Before {
  readonly boot: number
  readonly leads: boolean
  readonly term: number
  readonly commit: number
  readonly length: number
  readonly transfer: boolean
  readonly reading: boolean
  readonly leader: boolean
  readonly configuration: Configuration
  readonly changes: readonly Entry[]
}

/** Counts the states that a run has reached. */
export class Coverage {
  readonly reached: Tally
  /** node/term of campaigns that a leader ordered */
  readonly #ordered = new Set<string>()
  readonly #before = new Map<SimulatedNode, Before>()

  constructor(reached: Tally) {
    this.reached = reached
  }

  stepped(node: SimulatedNode, input: Input, effects: readonly Effect[]): void {
    const { state } = node.raft
    const leads = state.role.kind === 'leader'
    const before = this.#before.get(node)
    if (before?.boot === node.boot) {
      this.#compare(node, before)
      this.#changed(node, before)
      const forgot = before.leader && state.leader === null
      if (input.kind === 'forget-leader' && forgot) this.reached.add('leader forgotten')
    }
    if (input.kind === 'persisted' && input.receipt.term < state.term) {
      this.reached.add('completion of an earlier term')
    }
    if (input.kind === 'loaded') this.reached.add('entries loaded')
    for (const effect of effects) this.#effect(effect, before)
    this.#reads(node, input, before)
    if (leads && node.raft.durable < state.commit) this.reached.add('commit on followers alone')
    this.#before.set(node, {
      boot: node.boot,
      leads,
      term: state.term,
      commit: state.commit,
      length: node.log.length,
      transfer: state.role.kind === 'leader' && state.role.transfer !== null,
      reading: state.reads.round !== null,
      leader: state.leader !== null,
      configuration: state.configuration,
      changes: node.log.changes,
    })
  }

  #compare(node: SimulatedNode, before: Before): void {
    const { role, term } = node.raft.state
    const leads = role.kind === 'leader'
    if (leads && !before.leads) this.reached.add('leaders')
    if (leads && !before.leads && this.#ordered.has(`${node.id}/${term}`)) {
      this.reached.add('transfer done')
    }
    if (leads && before.leads) this.#leads(node, role, before)
    if (leads || !before.leads) return
    if (term === before.term) this.reached.add('leader stepped down unheard')
    if (before.commit < before.length) this.reached.add('leader deposed with uncommitted entries')
  }

  #changed({ id, raft, log }: SimulatedNode, before: Before): void {
    const { role, configuration } = raft.state
    if (log.changes !== before.changes) this.#overwritten(log, before.changes)
    if (configuration === before.configuration) return
    const [joint, wasJoint] = [isJoint(configuration), isJoint(before.configuration)]
    if (joint && !wasJoint) this.reached.add('joint consensus entered')
    if (wasJoint && !joint) this.reached.add('joint consensus left')
    const led = before.leads && role.kind !== 'leader'
    if (led && !isVoter(configuration, id)) this.reached.add('leader removed')
    for (const member of configuration.members) {
      const earlier = memberOf(before.configuration, member.id)
      if (earlier?.role !== 'learner' || member.role !== 'voter') continue
      this.reached.add('learner promoted')
      if (!member.incarnation.endsWith('0')) this.reached.add('new incarnation votes')
    }
  }

  #overwritten(log: LogMirror, changes: readonly Entry[]): void {
    for (const { index, payload } of changes) {
      if (log.changeAt(index)?.payload === payload) continue
      this.reached.add('change overwritten')
      if (isJoint(decodeConfiguration(payload))) this.reached.add('joint consensus overwritten')
    }
  }

  #reads({ raft }: SimulatedNode, input: Input, before: Before | undefined): void {
    const { role, term, reads } = raft.state
    if (role.kind === 'leader' && reads.waiting.length > 0 && reads.round === null) {
      this.reached.add('read waits for the first commit')
    }
    if ((reads.round?.readers.length ?? 0) > 1) this.reached.add('reads share a round')
    if (role.kind === 'leader' || reads.round?.ticks !== 0 || before === undefined) return
    if (input.kind === 'tick' && before.reading) this.reached.add('read asked again')
    if (before.term < term && before.reading) {
      this.reached.add('read asks the next leader')
    }
  }

  #leads({ raft, log }: SimulatedNode, { progress, transfer }: Leader, before: Before): void {
    const { commit, term } = raft.state
    if (before.transfer && transfer === null) this.reached.add('transfer given up')
    if (transfer !== null && progress.get(transfer.to)?.match !== raft.last.index) {
      this.reached.add('transfer waits for the target')
    }
    if (commit > before.commit && log.termAt(before.commit + 1) !== term) {
      this.reached.add('commit of an older term through a newer one')
    }
    for (const peer of progress.values()) {
      const holdsBack = peer.state === 'replicate' && peer.next <= log.length
      if (holdsBack && peer.loading === null) this.reached.add('window full')
    }
  }

  #effect(effect: Effect, before: Before | undefined): void {
    if (effect.kind === 'unchanged') this.reached.add('change asks for what is so')
    if (effect.kind === 'reject') this.reached.add(`refused: ${effect.reason}`)
    if (effect.kind === 'apply' && effect.entries === null) this.reached.add('apply from disk')
    if (effect.kind === 'persist') {
      const from = effect.truncateFrom
      if (from !== null && (before?.length ?? 0) > from) {
        this.reached.add('truncation of more than one entry')
      }
      for (const message of effect.whenDurable) this.#message(message)
    }
    if (effect.kind === 'send') this.#message(effect.message)
  }

  #message(message: Extract<Effect, { kind: 'send' }>['message']): void {
    if (message.kind === 'request-vote' && message.transfer) {
      this.#ordered.add(`${message.from}/${message.term}`)
    }
    if (message.kind === 'append-entries-refusal') this.reached.add('append refused')
    if (message.kind !== 'request-vote-reply' || message.granted) return
    this.reached.add(message.preVote ? 'pre-vote refused' : 'vote refused')
  }
}
