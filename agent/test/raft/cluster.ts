import { assert } from '../../src/lib/assert.ts'
import { type MembershipChange, NO_CONFIGURATION } from '../../src/raft/configuration.ts'
import type { Message } from '../../src/raft/message.ts'
import { asNodeId } from '../../src/raft/types.ts'
import {
  configurationOf,
  ELECTION_TICKS,
  type Limits,
  Member,
  optionsOf,
  type Start,
} from './harness.ts'
import { showConfiguration, showMessage } from './show.ts'

/** Several nodes and a wire whose messages are delivered, dropped or left waiting by hand. */
export class Cluster {
  readonly nodes = new Map<string, Member>()
  /** sent and neither delivered nor dropped, oldest first */
  wire: Message[] = []
  readonly #down = new Set<string>()
  readonly #cut = new Set<string>()
  readonly #slow = new Set<string>()

  /** @param voters the others wait to be added; default: all vote */
  constructor(
    starts: Readonly<Record<string, Start>>,
    limits: Limits = {},
    voters: readonly string[] = Object.keys(starts),
  ) {
    const first = configurationOf(voters)
    for (const [name, start] of Object.entries(starts)) {
      const configuration = voters.includes(name) ? first : NO_CONFIGURATION
      this.nodes.set(name, new Member(optionsOf(name, limits), configuration, start))
    }
  }

  node(name: string): Member {
    const member = this.nodes.get(name)
    assert(member !== undefined, `there is a node ${name}`)
    return member
  }

  /** The live leader of the highest term. */
  get leader(): string | null {
    let found: string | null = null
    let term = -1
    for (const [name, { raft }] of this.nodes) {
      if (this.#down.has(name) || raft.state.role.kind !== 'leader') continue
      if (raft.state.term > term) found = name
      term = Math.max(term, raft.state.term)
    }
    return found
  }

  term(name: string): number {
    return this.node(name).raft.state.term
  }

  tick(name: string, times = 1): void {
    if (!this.#down.has(name)) this.node(name).tick(times)
    this.#collect()
  }

  propose(name: string, ...texts: string[]): string[] {
    const lines = this.node(name).propose(...texts)
    this.#collect()
    return lines
  }

  read(name: string, ...ids: number[]): string[] {
    const lines = this.node(name).read(...ids)
    this.#collect()
    return lines
  }

  change(name: string, change: MembershipChange): string[] {
    const lines = this.node(name).change(change)
    this.#collect()
    return lines
  }

  /** The configuration in force on a node. */
  members(name: string): string {
    return showConfiguration(this.node(name).raft.state.configuration)
  }

  transfer(name: string, to: string | null): string[] {
    const lines = this.node(name).transfer(to)
    this.#collect()
    return lines
  }

  /** Completes writes of one node: the oldest `count`, all by default. */
  fsync(name: string, count?: number): string[] {
    const lines = this.node(name).fsync(count)
    this.#collect()
    return lines
  }

  /** From now on its writes complete only by `fsync`. */
  slowDisk(name: string): void {
    this.#slow.add(name)
  }

  fastDisk(name: string): void {
    this.#slow.delete(name)
  }

  /** Delivers what is on the wire now and matches, over cut links too; returns what arrived. */
  deliver(pattern: RegExp): string[] {
    const matching = this.#take(pattern)
    for (const message of matching) {
      if (this.#down.has(message.to)) continue
      this.node(message.to).receive(message)
      this.#collect()
    }
    return matching.map(showMessage)
  }

  drop(pattern: RegExp): string[] {
    return this.#take(pattern).map(showMessage)
  }

  cut(a: string, b: string): void {
    this.#cut.add(`${a}→${b}`)
    this.#cut.add(`${b}→${a}`)
  }

  /** Only these pairs, written `ab`, reach one another. */
  onlyLinks(...pairs: readonly string[]): void {
    this.heal()
    for (const a of this.nodes.keys()) {
      for (const b of this.nodes.keys()) {
        if (!pairs.includes(a + b) && !pairs.includes(b + a)) this.#cut.add(`${a}→${b}`)
      }
    }
  }

  isolate(name: string): void {
    for (const other of this.nodes.keys()) this.cut(name, other)
  }

  heal(): void {
    this.#cut.clear()
  }

  crash(name: string): void {
    this.#down.add(name)
    const member = this.node(name)
    member.writes = []
    member.sent = []
  }

  restart(name: string): void {
    this.#down.delete(name)
    this.node(name).restart()
  }

  /** Fast disks and whole links: carries on until nothing moves; what meets a cut link is lost. */
  settle(): void {
    for (let steps = 0; ; steps++) {
      assert(steps < 10_000, 'a cluster comes to rest')
      if (this.#writeSome() || this.#loadSome() || this.#snapshotSome()) continue
      const message = this.wire.shift()
      if (message === undefined) return
      if (this.#cut.has(`${message.from}→${message.to}`) || this.#down.has(message.to)) continue
      this.node(message.to).receive(message)
      this.#collect()
    }
  }

  /** Lets time pass for all; everything settles after every tick. */
  run(ticks: number): void {
    for (let i = 0; i < ticks; i++) {
      for (const name of this.nodes.keys()) this.tick(name)
      this.settle()
    }
  }

  /** Time passes until `name` asks for pre-votes; the others forget their leader and stay quiet. */
  campaign(name: string): void {
    for (const [other, { raft }] of this.nodes) {
      if (other === name || raft.state.role.kind === 'leader') continue
      this.tick(other, ELECTION_TICKS)
      this.drop(new RegExp(`^${other}→. pre-vote\\?`))
    }
    this.impatient(name)
  }

  /** Time passes for `name` alone until it asks for pre-votes. */
  impatient(name: string): void {
    this.node(name).untilElection()
    this.#collect()
  }

  elect(name: string): void {
    this.campaign(name)
    this.settle()
    assert(this.leader === name, `${name} won`)
  }

  /** The log of each node on its disk. */
  logs(): Record<string, string> {
    return Object.fromEntries([...this.nodes].map(([name, member]) => [name, member.log()]))
  }

  #writeSome(): boolean {
    for (const [name, member] of this.nodes) {
      if (this.#slow.has(name) || this.#down.has(name) || member.writes.length === 0) continue
      this.fsync(name)
      return true
    }
    return false
  }

  #loadSome(): boolean {
    for (const [name, member] of this.nodes) {
      if (this.#down.has(name) || member.loads.length === 0) continue
      member.load()
      this.#collect()
      return true
    }
    return false
  }

  /** A snapshot arrives whole, or is lost with the link. */
  #snapshotSome(): boolean {
    for (const [name, member] of this.nodes) {
      if (this.#down.has(name)) continue
      const to = member.lacking.shift()
      if (to !== undefined) {
        const ok = !this.#cut.has(`${name}→${to}`) && !this.#down.has(to)
        const envelope = { from: asNodeId(name), to, term: member.raft.state.term }
        if (ok) this.wire.push({ kind: 'install-snapshot', ...envelope, header: member.snapshot() })
        member.step({ kind: 'snapshot-sent', to, ok })
        return true
      }
      if (member.installs.length === 0) continue
      member.install()
      this.#collect()
      return true
    }
    return false
  }

  #collect(): void {
    for (const member of this.nodes.values()) {
      this.wire.push(...member.sent)
      member.sent = []
    }
  }

  #take(pattern: RegExp): Message[] {
    const matching = this.wire.filter(message => pattern.test(showMessage(message)))
    this.wire = this.wire.filter(message => !matching.includes(message))
    return matching
  }
}

/** Nodes a, b, c … that start alike. */
export function alike(count: number, start: Start = {}): Record<string, Start> {
  const names = 'abcdefg'.slice(0, count).split('')
  return Object.fromEntries(names.map(name => [asNodeId(name), start]))
}
