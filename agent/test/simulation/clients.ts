import type { Entry } from '../../src/raft/types.ts'
import type { Chance } from './chance.ts'
import { must } from './invariants.ts'
import type { Settled, SimulatedNode } from './node.ts'
import type { Tally } from './tally.ts'

/** `open` may happen or not; `refused` must never show an effect; `answered` must show everywhere. */
type Fate = 'open' | 'answered' | 'refused'

interface Parts {
  readonly nodes: readonly SimulatedNode[]
  readonly chance: Chance
  readonly rate: number
  readonly reached: Tally
}

/** Clients that propose through any node, and remember what they were told. */
export class Clients {
  readonly #parts: Parts
  /** by id; a proposal is made once and names itself in its payload */
  readonly #fates: Fate[] = []
  readonly #happened = new Set<number>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  tick(): void {
    const { nodes, chance, rate } = this.#parts
    if (!chance.happens(rate)) return
    const node = chance.oneOf(nodes)
    if (node.up) this.propose(node, chance.within(1, 3))
  }

  /** Returns the first of `count` consecutive ids. */
  propose(node: SimulatedNode, count: number): number {
    const first = this.#fates.length
    const proposals = Array.from({ length: count }, (_, at) => {
      const text = `op ${first + at}`.padEnd(this.#parts.chance.within(4, 30))
      return { id: first + at, payload: new Uint8Array(Buffer.from(text)) }
    })
    for (let i = 0; i < count; i++) this.#fates.push('open')
    node.step({ kind: 'propose', proposals })
    return first
  }

  fate(id: number): Fate | undefined {
    return this.#fates[id]
  }

  refused(ids: readonly number[]): void {
    for (const id of ids) this.#refuse(id)
  }

  /** An entry replaced at its position surely never happens. */
  settled({ id, mine }: Settled): void {
    if (mine) {
      this.#parts.reached.add('write answered')
      this.#fates[id] = 'answered'
    } else {
      this.#parts.reached.add('write superseded')
      this.#refuse(id)
    }
  }

  applied(entry: Entry): void {
    const id = idOf(entry)
    if (id === null) return
    must(this.#fates[id] !== 'refused', 'Clients: what was refused never happens')
    this.#happened.add(id)
  }

  /** At the end: every node holds every answered write, once. */
  checkMachines(): void {
    for (const { machine } of this.#parts.nodes) {
      const ids = machine.map(idOf).filter(id => id !== null)
      const held = new Set(ids)
      must(held.size === ids.length, 'Clients: a write happens once')
      for (const [id, fate] of this.#fates.entries()) {
        must(
          fate !== 'answered' || held.has(id),
          'Clients: an answered write is applied everywhere',
        )
      }
    }
  }

  #refuse(id: number): void {
    must(!this.#happened.has(id), 'Clients: what happened is never refused')
    this.#fates[id] = 'refused'
  }
}

function idOf({ kind, payload }: Entry): number | null {
  if (kind !== 'command') return null
  return Number(Buffer.from(payload).toString('latin1').slice(3).trim())
}
