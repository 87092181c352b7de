import type { Entry } from '../../src/raft/types.ts'
import type { Readable, Settled } from './applying.ts'
import { Attempts } from './attempts.ts'
import type { Chance } from './chance.ts'
import { judge } from './linearizability.ts'
import { encodeCommand, type Write } from './machine.ts'
import type { Action, Answer, Operation } from './model.ts'
import type { SimulatedNode } from './node.ts'
import type { Tally } from './tally.ts'
import { must } from './violation.ts'
import type { Weather } from './weather.ts'

interface Parts {
  readonly nodes: readonly SimulatedNode[]
  readonly chance: Chance
  readonly weather: Weather['clients']
  readonly reached: Tally
  /** highest index that any node knows to be committed */
  readonly commit: () => number
}

/** What one client wants now, until it is told or gives up. */
interface Wish {
  readonly request: string
  readonly action: Action
  readonly called: number
  /** of the attempt under way; null between two */
  attempt: number | null
  attempts: number
  /** an attempt went without an answer: it may still take effect */
  uncertain: boolean
  /** of the attempt, or until the next one */
  ticks: number
}

interface Client {
  name: number
  wish: Wish | null
  /** until the next wish */
  idle: number
  /** what it last saw, by key */
  readonly seen: Map<string, string | null>
}

const REGISTERS = ['x', 'y']
const COUNTERS = ['n']
/** Enough histories stay undecided beyond this that nothing would be learnt. */
const OPERATIONS_MAX = 400

/** Clients that write and read through any node, try again with the same request, and remember all. */
export class Clients {
  readonly #parts: Parts
  readonly #attempts: Attempts
  readonly #clients: Client[]
  readonly #wishes = new Map<number, Client>()
  /** of reads under way: what was committed when they began */
  readonly #committed = new Map<number, number>()
  readonly #history: Operation[] = []
  #time = 0
  #names = 0
  #calm = false

  constructor(parts: Parts) {
    this.#parts = parts
    this.#attempts = new Attempts(parts.reached)
    this.#clients = Array.from({ length: parts.weather.count }, () => this.#newClient())
  }

  tick(): void {
    const { nodes, chance, weather } = this.#parts
    if (!this.#calm && chance.happens(weather.rate)) {
      const node = chance.oneOf(nodes)
      if (node.up) this.propose(node, chance.within(1, 3))
    }
    this.#tryDeposed()
    for (const client of this.#clients) {
      if (client.wish !== null) this.#pursue(client, client.wish)
      else if (client.idle-- <= 0 && this.#history.length < OPERATIONS_MAX) this.#wish(client)
    }
  }

  /** From now on nobody gives up, and nobody proposes in bulk. */
  calm(): void {
    this.#calm = true
  }

  /** Only what is wished for already; true when nothing is. */
  finish(): boolean {
    for (const client of this.#clients) if (client.wish !== null) this.#pursue(client, client.wish)
    return this.#clients.every(({ wish }) => wish === null)
  }

  /** In bulk, and without trying again. Returns the first of `count` consecutive ids. */
  propose(node: SimulatedNode, count: number): number {
    const first = this.#attempts.next
    const proposals = Array.from({ length: count }, () => {
      const id = this.#attempts.begin('write')
      const command = { attempt: id, request: null, action: null }
      return { id, payload: encodeCommand(command, this.#parts.chance.within(4, 30)) }
    })
    node.step({ kind: 'propose', proposals })
    return first
  }

  isAnswered(id: number): boolean {
    return this.#attempts.fate(id) === 'answered'
  }

  isOpen(id: number): boolean {
    return this.#attempts.fate(id) === 'open'
  }

  refused(ids: readonly number[]): void {
    for (const id of ids) this.#failed(id)
  }

  /** An entry replaced at its position surely never happens. */
  settled({ id, mine, fresh, machine }: Settled): void {
    if (!mine) {
      this.#parts.reached.add('write superseded')
      this.#failed(id)
      return
    }
    this.#attempts.answered(id)
    const client = this.#wishes.get(id)
    if (client?.wish?.attempt !== id) return
    if (!fresh) this.#parts.reached.add('retry answered from memory')
    if (!fresh && machine.wasTold(client.wish.request)) {
      this.#parts.reached.add('retry answered from a session restored by snapshot')
    }
    const answer = machine.answerTo(client.wish.request)
    must(answer !== null, 'Machines: a request that was applied is remembered')
    this.#told(client, client.wish, answer)
  }

  applied(entry: Entry): void {
    this.#attempts.applied(entry)
  }

  /** The node may answer these reads now. */
  readable({ ids, index, machine }: Readable): void {
    for (const id of ids) {
      const client = this.#wishes.get(id)
      const committed = this.#committed.get(id) ?? 0
      must(index >= committed, 'Reads: nothing that was committed before the read is missed')
      this.#attempts.answered(id)
      const wish = client?.wish
      if (client === undefined || wish?.attempt !== id || wish.action.kind !== 'get') continue
      const cells = wish.action.keys.map(key => machine.read(key))
      this.#told(client, wish, { kind: 'seen', cells })
    }
  }

  /** At the end, when nobody waits any more; `nodes` have all that was written. */
  check(nodes: readonly SimulatedNode[]): void {
    this.#attempts.checkMachines(nodes)
    const verdict = judge(this.#history)
    if (verdict.kind === 'violation') {
      must(false, `Linearizable: ${JSON.stringify(verdict.at)}`)
    }
    must(verdict.kind === 'linearizable', 'Linearizable: undecided, too many possibilities')
  }

  /** Where stale reads come from: another leads already, and the old leader does not know. */
  #tryDeposed(): void {
    const { nodes, chance, reached } = this.#parts
    const leaders = nodes.filter(({ up, raft }) => up && raft.state.role.kind === 'leader')
    const [old, ...others] = leaders.sort((a, b) => a.raft.state.term - b.raft.state.term)
    const leader = others.at(-1)
    if (old === undefined || leader === undefined || !chance.happens(0.5)) return
    reached.add('read at a deposed leader')
    this.propose(leader, 1)
    this.#read(old, this.#attempts.begin('read'))
  }

  #newClient(): Client {
    const { chance, weather } = this.#parts
    const idle = chance.within(0, weather.idleMax)
    return { name: this.#names++, wish: null, idle, seen: new Map() }
  }

  #wish(client: Client): void {
    const called = this.#time++
    client.wish = {
      request: `${client.name}.${called}`,
      action: this.#draw(client, called),
      called,
      attempt: null,
      attempts: 0,
      uncertain: false,
      ticks: 0,
    }
    this.#pursue(client, client.wish)
  }

  #draw({ seen }: Client, number: number): Action {
    const { chance } = this.#parts
    const key = chance.oneOf(REGISTERS)
    const value = `${number}`
    const draw = chance.within(1, 100)
    if (draw <= 40) return { kind: 'get', keys: [chance.oneOf([...REGISTERS, ...COUNTERS])] }
    if (draw <= 60) return { kind: 'put', pairs: [[key, value]] }
    if (draw <= 75) {
      return { kind: 'compare-and-set', key, expected: seen.get(key) ?? null, value }
    }
    if (draw <= 80) return { kind: 'delete', key }
    return { kind: 'add', key: chance.oneOf(COUNTERS), amount: 1 }
  }

  #pursue(client: Client, wish: Wish): void {
    if (wish.ticks-- > 0) return
    if (wish.attempt !== null) {
      if (wish.action.kind !== 'get') wish.uncertain = true
      this.#parts.reached.add('attempt without an answer')
      wish.attempt = null
    }
    if (this.#givesUp(wish)) this.#forget(client, wish)
    else this.#attempt(client, wish)
  }

  #givesUp({ attempts }: Wish): boolean {
    const { chance, weather } = this.#parts
    return !this.#calm && attempts > 0 && chance.happens(weather.giveUp)
  }

  /** What surely had no effect, and a read, leave no trace; the rest may happen at any time. */
  #forget(client: Client, { action, called, uncertain }: Wish): void {
    this.#parts.reached.add(uncertain ? 'client gave up in doubt' : 'client gave up')
    if (uncertain) this.#history.push({ action, called, returned: null, answer: null })
    client.wish = null
    // A client is one thread: whoever does not know what it did goes on under another name.
    client.name = this.#names++
  }

  #attempt(client: Client, wish: Wish): void {
    const { chance, weather } = this.#parts
    const node = this.#choose(wish)
    wish.attempts++
    wish.ticks = chance.within(2, 5)
    if (!node.up) return
    const { action, request } = wish
    const id = this.#attempts.begin(action.kind === 'get' ? 'read' : 'write')
    wish.attempt = id
    wish.ticks = chance.within(5, weather.patienceMax)
    this.#wishes.set(id, client)
    if (action.kind === 'get') this.#read(node, id)
    else this.#write(node, id, { request, action })
  }

  /** Any node; one that was refused often follows what a node says of its leader. */
  #choose({ attempts }: Wish): SimulatedNode {
    const { chance, nodes } = this.#parts
    const node = chance.oneOf(nodes)
    if (attempts === 0 || chance.happens(0.5)) return node
    return nodes.find(({ id }) => id === node.raft.state.leader) ?? node
  }

  #read(node: SimulatedNode, id: number): void {
    this.#committed.set(id, this.#parts.commit())
    node.step({ kind: 'read', ids: [id] })
  }

  #write(
    node: SimulatedNode,
    attempt: number,
    { request, action }: { readonly request: string; readonly action: Write },
  ): void {
    const payload = encodeCommand({ attempt, request, action })
    node.step({ kind: 'propose', proposals: [{ id: attempt, payload }] })
  }

  #failed(id: number): void {
    this.#attempts.refused(id)
    const wish = this.#wishes.get(id)?.wish
    if (wish?.attempt !== id) return
    wish.attempt = null
    wish.ticks = this.#parts.chance.within(1, 5)
  }

  #told(client: Client, { action, called }: Wish, answer: Answer): void {
    const { chance, weather } = this.#parts
    this.#history.push({ action, called, returned: this.#time++, answer })
    if (action.kind === 'get' && answer.kind === 'seen') {
      for (const [at, key] of action.keys.entries()) {
        client.seen.set(key, answer.cells[at]?.value ?? null)
      }
    }
    client.wish = null
    client.idle = chance.within(0, weather.idleMax)
  }
}
