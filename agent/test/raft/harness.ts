import { assert } from '../../src/lib/assert.ts'
import {
  type Configuration,
  decodeConfiguration,
  encodeConfiguration,
  initialConfiguration,
  type MembershipChange,
} from '../../src/raft/configuration.ts'
import type { Effect, Persist } from '../../src/raft/effect.ts'
import type { Input } from '../../src/raft/input.ts'
import type { Message } from '../../src/raft/message.ts'
import { Raft } from '../../src/raft/raft.ts'
import { DEFAULT_LIMITS, type RaftOptions } from '../../src/raft/state.ts'
import {
  asLogIndex,
  asNodeId,
  asTerm,
  type Entry,
  type NodeId,
  ORIGIN,
  type SnapshotHeader,
} from '../../src/raft/types.ts'
import { DurableImage, lastConfiguration } from './durable-image.ts'
import { bytes, entriesOf } from './entries.ts'
import { grant } from './messages.ts'
import { show, showEntry, showMessage } from './show.ts'

/** E; a node waits [E, 2E) ticks for a leader. */
export const ELECTION_TICKS = 10
export const HEARTBEAT_TICKS = 2

/** Where a node stands at the start of a story. */
export interface Start {
  /** the term of each entry, as the paper draws logs */
  readonly log?: readonly number[]
  /** default: the term of the last entry */
  readonly term?: number
  readonly vote?: string
  readonly commit?: number
  readonly applied?: number
  /** in force there; default: all nodes of the story vote */
  readonly configuration?: Configuration
}

type Load = Extract<Effect, { kind: 'load' }>
type Install = Extract<Effect, { kind: 'install-snapshot' }>

/** What each snapshot holds: the entries that its machine had applied. */
const SNAPSHOTS = new WeakMap<SnapshotHeader, readonly Entry[]>()

/** Of a machine that applied `entries`. */
export function snapshotOf(
  entries: readonly Entry[],
  configuration: Configuration,
): SnapshotHeader {
  const { index, term } = entries.at(-1) ?? ORIGIN
  const header = {
    position: { index, term },
    configuration: encodeConfiguration(configuration),
    id: `snapshot-${index}`,
    bytes: entries.length,
    sha256: '0'.repeat(64),
  }
  SNAPSHOTS.set(header, [...entries])
  return header
}

export type Limits = Partial<Omit<RaftOptions, 'id'>>

/** One node: the real core, a disk that completes writes when told, a machine that applies at once. */
export class Member {
  readonly options: RaftOptions
  readonly image: DurableImage
  /** issued, not yet durable; oldest first */
  writes: Persist[] = []
  /** left the node, and nobody took them yet */
  sent: Message[] = []
  /** entries to be read from disk, asked for and not answered */
  loads: Load[] = []
  /** snapshots that are to be installed */
  installs: Install[] = []
  /** peers that wait for a snapshot */
  lacking: NodeId[] = []
  /** what the machine holds: it survives crashes whole */
  readonly applied: Entry[]
  raft: Raft
  readonly #first: Configuration
  /** in force where the machine is */
  #configuration: Configuration
  #boot = 0

  /** @param first what is in force before the log says anything */
  constructor(options: RaftOptions, first: Configuration, start: Start) {
    const { log = [], term, vote, commit = 0, applied = commit, configuration = first } = start
    this.options = options
    this.#first = first
    this.#configuration = configuration
    const entries = entriesOf(log)
    this.image = new DurableImage(
      {
        term: asTerm(term ?? log.at(-1) ?? 0),
        vote: vote === undefined ? null : asNodeId(vote),
        commit: asLogIndex(commit),
      },
      entries,
    )
    this.applied = entries.slice(0, applied)
    this.raft = this.#start()
  }

  /** The effects as lines, those of the applies that follow included. */
  step(input: Input): string[] {
    const effects = this.raft.step(input)
    return [...show(effects), ...effects.flatMap(effect => this.#carryOut(effect))]
  }

  receive(message: Message): string[] {
    return this.step({ kind: 'receive', message })
  }

  tick(times = 1): string[] {
    const lines: string[] = []
    for (let i = 0; i < times; i++) lines.push(...this.step({ kind: 'tick' }))
    return lines
  }

  propose(...texts: string[]): string[] {
    const proposals = texts.map((text, id) => ({ id, payload: bytes(text) }))
    return this.step({ kind: 'propose', proposals })
  }

  read(...ids: number[]): string[] {
    return this.step({ kind: 'read', ids })
  }

  change(change: MembershipChange, id = 0): string[] {
    return this.step({ kind: 'change', id, change })
  }

  /** Drops the log up to `index`, which the machine holds. */
  compact(index: number): string[] {
    const entry = this.applied[index - 1]
    assert(entry !== undefined, 'only what is applied is compacted')
    const base = { index: entry.index, term: entry.term }
    const lines = this.step({ kind: 'compacted', base })
    this.image.compact(base)
    return lines
  }

  /** Of what the machine holds now. */
  snapshot(): SnapshotHeader {
    return snapshotOf(this.applied, this.#configuration)
  }

  /** Ends the oldest install: log and machine are the snapshot's, then the messages that waited leave. */
  install(): string[] {
    const install = this.installs.shift()
    assert(install !== undefined, 'something is to be installed')
    const { position, configuration } = install.header
    const held = SNAPSHOTS.get(install.header)
    assert(held !== undefined, 'a snapshot has contents')
    this.applied.splice(0, this.applied.length, ...held)
    this.image.reset(position)
    this.#configuration = decodeConfiguration(configuration)
    const lines = this.step({
      kind: 'snapshot-installed',
      position,
      configuration: this.#configuration,
    })
    this.sent.push(...install.whenInstalled)
    return [...lines, ...install.whenInstalled.map(showMessage)]
  }

  transfer(to: string | null): string[] {
    return this.step({ kind: 'transfer', to: to === null ? null : asNodeId(to) })
  }

  /** Of the newest round of reads. */
  get context(): number {
    return this.raft.state.reads.context
  }

  /** The oldest writes become durable, all by default: the messages that waited, then the core's answer. */
  fsync(count = Number.POSITIVE_INFINITY): string[] {
    const lines: string[] = []
    for (let i = 0; i < count; i++) {
      const write = this.writes.shift()
      if (write === undefined) break
      this.image.write(write)
      this.sent.push(...write.whenDurable)
      lines.push(...write.whenDurable.map(showMessage))
      lines.push(...this.step({ kind: 'persisted', receipt: write.receipt }))
    }
    return lines
  }

  /** Answers the oldest `load` from the disk. */
  load(): string[] {
    const load = this.loads.shift()
    assert(load !== undefined, 'something is to be loaded')
    const entries = this.image.slice(load.from, load.upTo, load.bytesMax)
    return this.step({ kind: 'loaded', to: load.to, term: load.term, entries })
  }

  /** Loses what is not durable and starts again from what is. */
  restart(): void {
    this.writes = []
    this.sent = []
    this.loads = []
    this.installs = []
    this.lacking = []
    this.raft = this.#start()
  }

  /** Starts again with a machine that holds the first `left` entries: log and vote are whole. */
  loseMachine(left = 0): void {
    this.applied.length = left
    this.#configuration = lastConfiguration(this.applied) ?? this.#first
    this.restart()
  }

  /** Ticks until the node asks for pre-votes; returns what it then says. */
  untilElection(): string[] {
    for (let i = 0; i < 2 * ELECTION_TICKS; i++) {
      const lines = this.tick()
      if (lines.length > 0) return lines
    }
    throw new Error(`${this.options.id} does not campaign`)
  }

  log(): string {
    return this.image.entries.map(showEntry).join(' ')
  }

  #start(): Raft {
    const seed = this.options.seed + 1000 * this.#boot++
    const applied = this.applied.at(-1) ?? ORIGIN
    return new Raft({ ...this.options, seed }, this.image.recovered(applied, this.#configuration))
  }

  #carryOut(effect: Effect): string[] {
    if (effect.kind === 'send') this.sent.push(effect.message)
    if (effect.kind === 'persist') this.writes.push(effect)
    if (effect.kind === 'load') this.loads.push(effect)
    if (effect.kind === 'install-snapshot') this.installs.push(effect)
    if (effect.kind === 'send-snapshot') this.lacking.push(effect.to)
    if (effect.kind !== 'apply') return []
    const entries = effect.entries ?? this.image.slice(effect.from, effect.upTo)
    for (const entry of entries) {
      assert(entry.index === this.applied.length + 1, 'the machine skips and repeats nothing')
      assert(this.image.holds(entry), 'only what is durable here is applied')
      this.applied.push(entry)
    }
    const last = entries.at(-1)
    assert(last?.index === effect.upTo, 'all that was asked for is applied')
    const configuration = lastConfiguration(entries)
    if (configuration !== null) this.#configuration = configuration
    return this.step({ kind: 'applied', position: last, configuration })
  }
}

/** All of them vote. */
export function configurationOf(names: readonly string[]): Configuration {
  return initialConfiguration(
    names.map(name => ({ id: asNodeId(name), address: '', raftBind: `${name}:1`, gateway: null })),
  )
}

export function optionsOf(id: string, limits: Limits): RaftOptions {
  return {
    ...DEFAULT_LIMITS,
    electionTicks: ELECTION_TICKS,
    heartbeatTicks: HEARTBEAT_TICKS,
    ...limits,
    seed: 7919 * (limits.seed ?? 0) + id.charCodeAt(0),
    id: asNodeId(id),
    incarnation: `i-${id}`,
    founder: limits.founder ?? true,
  }
}

/** A single node `a` among voters a, b, c, whose messages the test writes itself. */
export function follower(start: Start = {}, limits: Limits = {}, voters = ['a', 'b', 'c']): Member {
  return new Member(optionsOf('a', limits), configurationOf(voters), start)
}

/** The same after it won pre-votes, in a term of its own, which is durable; b and c were asked. */
export function candidate(
  start: Start = {},
  limits: Limits = {},
  voters = ['a', 'b', 'c'],
): Member {
  const node = follower(start, limits, voters)
  node.untilElection()
  const term = node.raft.state.term + 1
  for (const from of voters.slice(1)) {
    if (node.raft.state.term < term) node.receive(grant({ from, term, preVote: true }))
  }
  node.fsync()
  return node
}

/** The same after it won; its no-op is durable and on its way, and acknowledged by nobody. */
export function leader(start: Start = {}, limits: Limits = {}, voters = ['a', 'b', 'c']): Member {
  const node = candidate(start, limits, voters)
  const { term } = node.raft.state
  for (const from of voters.slice(1)) {
    if (node.raft.state.role.kind !== 'leader') node.receive(grant({ from, term }))
  }
  node.fsync()
  node.sent = []
  return node
}
