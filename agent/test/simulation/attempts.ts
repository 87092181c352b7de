import type { Entry } from '../../src/raft/types.ts'
import { commandOf } from './machine.ts'
import type { SimulatedNode } from './node.ts'
import type { Tally } from './tally.ts'
import { must } from './violation.ts'

/** `open` may happen or not; `refused` must never show an effect; `answered` must show everywhere. */
type Fate = 'open' | 'answered' | 'refused'

/** Every proposal and every read that was ever made, and what its client was told. */
export class Attempts {
  readonly #reached: Tally
  /** by id */
  readonly #fates: Fate[] = []
  readonly #reads = new Set<number>()
  readonly #happened = new Set<number>()

  constructor(reached: Tally) {
    this.#reached = reached
  }

  /** The id that the next one gets. */
  get next(): number {
    return this.#fates.length
  }

  begin(kind: 'write' | 'read'): number {
    const id = this.#fates.push('open') - 1
    if (kind === 'read') this.#reads.add(id)
    return id
  }

  fate(id: number): Fate | undefined {
    return this.#fates[id]
  }

  answered(id: number): void {
    this.#reached.add(this.#reads.has(id) ? 'read answered' : 'write answered')
    this.#fates[id] = 'answered'
  }

  refused(id: number): void {
    must(!this.#happened.has(id), 'Clients: what happened is never refused')
    this.#reached.add(this.#reads.has(id) ? 'read refused' : 'write refused')
    this.#fates[id] = 'refused'
  }

  applied(entry: Entry): void {
    const command = commandOf(entry)
    if (command === null) return
    must(this.#fates[command.attempt] !== 'refused', 'Clients: what was refused never happens')
    this.#happened.add(command.attempt)
  }

  /** At the end: each of these nodes holds every answered write, once. */
  checkMachines(nodes: readonly SimulatedNode[]): void {
    for (const { machine } of nodes) {
      must(machine.text() === nodes[0]?.machine.text(), 'Machines: all are equal in the end')
      const ids = machine.entries.flatMap(entry => commandOf(entry)?.attempt ?? [])
      const held = new Set(ids)
      must(held.size === ids.length, 'Clients: a proposal is appended once')
      for (const [id, fate] of this.#fates.entries()) {
        must(
          fate !== 'answered' || this.#reads.has(id) || held.has(id),
          'Clients: an answered write is applied everywhere',
        )
      }
    }
  }
}
