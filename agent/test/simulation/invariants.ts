import { type Configuration, memberOf } from '../../src/raft/configuration.ts'
import type { Effect, Persist } from '../../src/raft/effect.ts'
import type { Input } from '../../src/raft/input.ts'
import type { Message } from '../../src/raft/message.ts'
import type { Entry, LogIndex, LogPosition, NodeId, Term } from '../../src/raft/types.ts'
import { checkBounds } from './bounds.ts'
import { incarnationOf } from './disks.ts'
import type { Histories, Link } from './history.ts'
import type { Memberships } from './memberships.ts'
import type { SimulatedNode } from './node.ts'
import { decides } from './quorums.ts'
import { must } from './violation.ts'

interface Snapshot {
  readonly boot: number
  readonly leads: boolean
  readonly term: Term
  readonly commit: LogIndex
  readonly applied: LogIndex
}

/** Watches all nodes after every event: Figure 3, and what our own rules add to it. */
export class Invariants {
  readonly #nodes: readonly SimulatedNode[]
  readonly #histories: Histories
  readonly #memberships: Memberships
  readonly #before = new Map<NodeId, Snapshot>()
  readonly #leaders = new Map<Term, string>()
  readonly #votes = new Map<string, NodeId>()
  /** who voted, by term and candidate */
  readonly #voters = new Map<string, Set<NodeId>>()
  /** by leader, its boot and term, and peer */
  readonly #matches = new Map<string, LogIndex>()
  readonly #positions = new Map<string, Link>()
  /** by index - 1: what was committed, and in which term first */
  readonly #committed: { readonly link: Link; readonly entryTerm: Term; readonly term: Term }[] = []
  /** by index - 1: what was applied first */
  readonly #applied: Link[] = []
  /** by index: what machines that have applied so much hold */
  readonly #hashes: number[] = []

  constructor(nodes: readonly SimulatedNode[], histories: Histories, memberships: Memberships) {
    this.#nodes = nodes
    this.#histories = histories
    this.#memberships = memberships
  }

  get commit(): number {
    return this.#committed.length
  }

  stepped(node: SimulatedNode, input: Input, effects: readonly Effect[]): void {
    const before = this.#snapshotOf(node)
    const { state } = node.raft
    const leads = state.role.kind === 'leader'
    this.#monotone(node, before)
    this.#shape(node)
    if (input.kind === 'tick') checkBounds(node)
    for (const effect of effects) this.#asked(node, effect, leads)
    if (leads && !(before.leads && before.term === state.term)) this.#elected(node)
    if (leads && before.leads && before.term === state.term) {
      const cuts = effects.some(each => each.kind === 'persist' && each.truncateFrom !== null)
      must(!cuts, 'Leader Append-Only: a leader deletes nothing of its log')
    }
    if (leads && input.kind === 'receive') this.#counts(node, input.message)
    for (let index = before.commit + 1; index <= state.commit; index++) {
      this.#commits(node, index)
    }
    this.#before.set(node.id, {
      boot: node.boot,
      leads,
      term: state.term,
      commit: state.commit,
      applied: state.applied,
    })
  }

  #asked(node: SimulatedNode, effect: Effect, leads: boolean): void {
    if (effect.kind === 'persist') this.#written(node, effect.entries, leads)
    if (effect.kind === 'persist') this.#cut(node, effect)
    if (effect.kind === 'apply') this.#appliesDurable(node, effect.upTo)
  }

  /** A1: nothing speaks in the name of a term or a vote that a crash could take back. */
  leaves(node: SimulatedNode, message: Message): void {
    const { hardState } = node.disk.image
    if (message.kind === 'request-vote' && message.preVote) return
    if (message.kind === 'request-vote-reply' && message.preVote && message.granted) return
    must(hardState.term >= message.term, 'A1: a term is durable before it is spoken of')
    const candidate = voteIn(message)
    if (candidate === null) return
    must(
      hardState.term > message.term || hardState.vote === candidate,
      'A1: a vote is durable before it is spoken of',
    )
    const key = `${node.incarnation}/${message.term}`
    const earlier = this.#votes.get(key) ?? candidate
    must(earlier === candidate, 'Votes: one vote a term, over restarts too')
    this.#votes.set(key, candidate)
    this.#votersFor(candidate, message.term).add(node.id)
  }

  applied(node: SimulatedNode, entry: Entry): void {
    must(entry.index === node.machine.length, 'State Machine Safety: no entry skipped or repeated')
    const before = this.#applied[entry.index - 2] ?? 0
    const link = this.#histories.link(before, entry)
    const first = this.#applied[entry.index - 1] ?? link
    must(first === link, 'State Machine Safety: all apply the same entry at an index')
    this.#applied[entry.index - 1] = link
    this.restored(node)
  }

  /** I11: whether it came by the log or by a snapshot. */
  restored({ machine }: SimulatedNode): void {
    const { length, hash, hasDiverged } = machine
    if (hasDiverged) return
    this.#hashes[length] ??= hash
    must(this.#hashes[length] === hash, 'State hash: equal at every index')
  }

  /** What a client was told was on the disks of a majority, and no disk has let go of it since. */
  answered({ index, term }: Entry): void {
    const committed = this.#committed[index - 1]
    must(
      committed !== undefined && committed.entryTerm === term,
      'Durable: an answered write is committed',
    )
  }

  /** At the end of a quiet time: these hold and applied the same. */
  converged(nodes: readonly SimulatedNode[]): boolean {
    const [first] = nodes
    return nodes.every(
      ({ log, machine }) =>
        log.length === first?.log.length &&
        log.linkAt(log.length) === first.log.linkAt(log.length) &&
        machine.length === log.length,
    )
  }

  #snapshotOf(node: SimulatedNode): Snapshot {
    const before = this.#before.get(node.id)
    if (before?.boot === node.boot) return before
    const { commit } = node.disk.image.hardState
    const term = before?.term ?? node.disk.image.hardState.term
    // A boot starts from what is durable; the term that was spoken of is part of it.
    return {
      boot: node.boot,
      leads: false,
      term: Math.min(term, node.raft.state.term) as Term,
      commit,
      applied: 0 as LogIndex,
    }
  }

  #monotone({ raft, log, disk }: SimulatedNode, before: Snapshot): void {
    const { term, commit, applied } = raft.state
    must(term >= before.term && term >= disk.image.hardState.term, 'Monotone: the term')
    must(commit >= before.commit, 'Monotone: commitIndex')
    must(applied >= before.applied, 'Monotone: lastApplied')
    must(applied <= commit && commit <= log.length, 'Monotone: lastApplied ≤ commitIndex ≤ last')
    must(log.length === raft.last.index, 'what was written is the log')
  }

  #written(node: SimulatedNode, entries: readonly Entry[], leads: boolean): void {
    const { log } = node
    for (const entry of entries) {
      const { index, term, kind } = entry
      const key = `${index}/${term}`
      const link = log.linkAt(index)
      const known = this.#positions.get(key) ?? link
      must(known === link, 'Log Matching: equal (index, term), equal prefix')
      this.#positions.set(key, link)
      const own = leads && term === node.raft.state.term
      if (own && kind === 'configuration') this.#memberships.appended(node, entry)
    }
  }

  /** I8: the log begins where the machine can go on from, whatever power loss takes from it. */
  #shape({ raft, disk, machine, hasLostMachine, aside }: SimulatedNode): void {
    const { base } = disk.image
    const committed = this.#committed[base.index - 1]
    must(
      base.index === 0 || committed?.entryTerm === base.term,
      'Log shape: it begins behind a committed entry',
    )
    must(
      base.index <= machine.durable || hasLostMachine,
      'Log shape: what it has forgotten is in the machine, durably',
    )
    must(
      !raft.state.needsSnapshot || hasLostMachine,
      'Log shape: only who lost its machine needs another',
    )
    const { role, needsSnapshot } = raft.state
    must(role.kind === 'follower' || !needsSnapshot, 'Machines: who has none follows')
    const handsOver = role.kind === 'leader' && role.transfer !== null
    must(role.kind === 'follower' || !aside || handsOver, 'Machines: a wrong one follows')
  }

  /** What is committed stays wherever it was written (P1). */
  #cut({ log, raft }: SimulatedNode, { truncateFrom }: Persist): void {
    const committed = truncateFrom === null ? undefined : this.#committed[truncateFrom - 1]
    must(
      // The leader of an earlier term may still replace it where its majority does not reach.
      committed === undefined || committed.term > raft.state.term || log.dropped !== committed.link,
      'Durable: a committed entry never leaves a log',
    )
  }

  #appliesDurable({ log, disk }: SimulatedNode, upTo: LogIndex): void {
    const term = log.termAt(upTo)
    must(
      term !== null && disk.image.holds({ index: upTo, term }),
      'A2: only what is on the own disk is applied',
    )
  }

  #elected(node: SimulatedNode): void {
    const { id, boot, raft, log } = node
    const { term } = raft.state
    this.#memberships.elected(node, this.#votersFor(id, term))
    const name = `${id}/${boot}`
    const earlier = this.#leaders.get(term) ?? name
    must(earlier === name, 'Election Safety: one leader a term, of one boot')
    this.#leaders.set(term, name)
    for (let index = this.#committed.length; index > 0; index--) {
      const committed = this.#committed[index - 1]
      if (committed === undefined || committed.term >= term) continue
      must(
        log.linkAt(index) === committed.link,
        'Leader Completeness: a leader holds what is committed',
      )
      break
    }
  }

  #commits(node: SimulatedNode, index: number): void {
    const link = node.log.linkAt(index)
    const known = this.#committed[index - 1]
    if (known === undefined) this.#commitsFirst(node, index)
    else must(known.link === link, 'State Machine Safety: all commit the same entry at an index')
  }

  /** On the disks of whoever decides in the configuration in force. */
  #commitsFirst({ raft, log }: SimulatedNode, index: number): void {
    const { configuration, term } = raft.state
    const entryTerm = log.termAt(index)
    must(entryTerm !== null, 'commitIndex never passes the log')
    const position = { index: index as LogIndex, term: entryTerm }
    must(
      this.#onDisks(position, configuration),
      'Durable: what is committed is on a majority of the configuration in force',
    )
    this.#committed[index - 1] = { link: log.linkAt(index), entryTerm, term }
    const change = log.changeAt(index)
    if (change !== null) this.#memberships.committed(change, term)
  }

  /** A member that is somebody else by now counts as whom the configuration means: a minority may be lost. */
  #onDisks(position: LogPosition, configuration: Configuration): boolean {
    return decides(configuration, id => {
      const incarnation = memberOf(configuration, id)?.incarnation || incarnationOf(id, 0)
      const node = this.#nodes.find(each => each.id === id)
      return node?.incarnation === incarnation
        ? node.holds(position)
        : (node?.everHeld(position) ?? false)
    })
  }

  #votersFor(candidate: NodeId, term: Term): Set<NodeId> {
    const key = `${term}/${candidate}`
    const voters = this.#voters.get(key) ?? new Set()
    this.#voters.set(key, voters)
    return voters
  }

  /** What a leader counts is on the disk of whoever said so, as long as that one is in its term. */
  #counts({ id, boot, raft, log }: SimulatedNode, message: Message): void {
    const { role, term } = raft.state
    if (role.kind !== 'leader' || message.kind !== 'append-entries-reply') return
    const progress = role.progress.get(message.from)
    const peer = this.#nodes.find(({ id }) => id === message.from)
    if (progress === undefined || peer === undefined || message.term !== term) return
    const { match, next } = progress
    must(match < next && next <= log.length + 1, 'Progress: matchIndex < nextIndex ≤ last + 1')
    const key = `${id}/${boot}/${term}/${peer.incarnation}`
    must(match >= (this.#matches.get(key) ?? 0), 'Progress: matchIndex never decreases')
    this.#matches.set(key, match)
    if (match === 0 || peer.disk.image.hardState.term > term) return
    const matchTerm = log.termAt(match)
    must(
      matchTerm !== null && peer.everHeld({ index: match, term: matchTerm }),
      'Durable: what a leader counts is on the disk of its peer',
    )
  }
}

function voteIn(message: Message): NodeId | null {
  if (message.kind === 'request-vote') return message.from
  return message.kind === 'request-vote-reply' && message.granted ? message.to : null
}
