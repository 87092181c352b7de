import type { Effect } from '../../src/raft/effect.ts'
import type { Input } from '../../src/raft/input.ts'
import type { Message } from '../../src/raft/message.ts'
import { majority } from '../../src/raft/quorum.ts'
import type { Entry, LogIndex, NodeId, Term } from '../../src/raft/types.ts'
import type { Histories, Link } from './history.ts'
import type { SimulatedNode } from './node.ts'

/** A promise that was broken; the run ends here. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

/** Fails the run unless `holds`. */
export function must(holds: boolean, invariant: string): asserts holds {
  if (!holds) throw new Violation(invariant)
}

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
  readonly #before = new Map<NodeId, Snapshot>()
  readonly #leaders = new Map<Term, string>()
  readonly #votes = new Map<string, NodeId>()
  /** by leader, its boot and term, and peer */
  readonly #matches = new Map<string, LogIndex>()
  readonly #positions = new Map<string, Link>()
  /** by index - 1: what was committed, and in which term first */
  readonly #committed: { readonly link: Link; readonly term: Term }[] = []
  /** by index - 1: what was applied first */
  readonly #applied: Link[] = []

  constructor(nodes: readonly SimulatedNode[], histories: Histories) {
    this.#nodes = nodes
    this.#histories = histories
  }

  get commit(): number {
    return this.#committed.length
  }

  stepped(node: SimulatedNode, input: Input, effects: readonly Effect[]): void {
    const before = this.#snapshotOf(node)
    const { state } = node.raft
    const leads = state.role.kind === 'leader'
    this.#monotone(node, before)
    for (const effect of effects) {
      if (effect.kind === 'persist') this.#written(node, effect.entries)
      if (effect.kind === 'apply') this.#appliesDurable(node, effect.upTo)
    }
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
  }

  applied(node: SimulatedNode, entry: Entry): void {
    must(entry.index === node.machine.length, 'State Machine Safety: no entry skipped or repeated')
    const before = this.#applied[entry.index - 2] ?? 0
    const link = this.#histories.link(before, entry)
    const first = this.#applied[entry.index - 1] ?? link
    must(first === link, 'State Machine Safety: all apply the same entry at an index')
    this.#applied[entry.index - 1] = link
  }

  /** What a client was told is on the disks of a majority. */
  answered(entry: Entry): void {
    const copies = this.#nodes.filter(node => node.holds(entry)).length
    must(copies >= majority(this.#nodes.length), 'Durable: an answered write is on a majority')
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

  #written({ log }: SimulatedNode, entries: readonly Entry[]): void {
    for (const { index, term } of entries) {
      const key = `${index}/${term}`
      const link = log.linkAt(index)
      const known = this.#positions.get(key) ?? link
      must(known === link, 'Log Matching: equal (index, term), equal prefix')
      this.#positions.set(key, link)
    }
  }

  #appliesDurable({ log, disk }: SimulatedNode, upTo: LogIndex): void {
    const term = log.termAt(upTo)
    must(
      term !== null && disk.image.holds({ index: upTo, term }),
      'A2: only what is on the own disk is applied',
    )
  }

  #elected({ id, boot, raft, log }: SimulatedNode): void {
    const { term } = raft.state
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

  #commits({ raft, log }: SimulatedNode, index: number): void {
    const link = log.linkAt(index)
    const known = this.#committed[index - 1] ?? { link, term: raft.state.term }
    if (this.#committed[index - 1] === undefined) this.#onDisks(log.termAt(index), index)
    must(known.link === link, 'State Machine Safety: all commit the same entry at an index')
    this.#committed[index - 1] = known
  }

  /** Whoever commits it first. */
  #onDisks(term: Term | null, index: number): void {
    must(term !== null, 'commitIndex never passes the log')
    const position = { index: index as LogIndex, term }
    const copies = this.#nodes.filter(node => node.holds(position)).length
    must(copies >= majority(this.#nodes.length), 'Durable: what is committed is on a majority')
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
      matchTerm !== null && peer.holds({ index: match, term: matchTerm }),
      'Durable: what a leader counts is on the disk of its peer',
    )
  }
}

function voteIn(message: Message): NodeId | null {
  if (message.kind === 'request-vote') return message.from
  return message.kind === 'request-vote-reply' && message.granted ? message.to : null
}
