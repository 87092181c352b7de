/** Registers with unique values: written, compared and set, deleted and read, alone and two at once. */

import type { Action, Answer, Operation } from '../../../agent/test/simulation/model.ts'
import { indexOf, type Reply, type Request } from './caller.ts'
import { Actor, type Row, rowsOf, type Scene, textIn } from './clients.ts'

const SLOTS = 6
const CLIENTS = 9
const PAUSE_MS = 45
/** A pair of registers is left for a new one after so much: what is unknown of it is followed no longer. */
const OPERATIONS_MAX = 300
const UNKNOWN_MAX = 10

/** Two registers that some operation ties together. */
interface Slot {
  readonly prefix: string
  readonly keys: readonly [string, string]
  operations: number
  unknown: number
}

/** What a client saw last in a register. */
interface Known {
  readonly value: string | null
  readonly index: number
}

export class Registers {
  readonly #scene: Scene
  readonly #slots: Slot[] = []
  #made = 0

  constructor(scene: Scene) {
    this.#scene = scene
    for (let at = 0; at < SLOTS; at++) this.#slots.push(this.#make())
  }

  /** All there ever were. */
  readonly keys: string[] = []

  start(): Promise<void>[] {
    return Array.from({ length: CLIENTS }, (_, at) => this.#run(`register${at}`))
  }

  async #run(name: string): Promise<void> {
    const actor = new Actor(this.#scene, name, PAUSE_MS)
    const known = new Map<string, Known>()
    await actor.repeat(async () => {
      const slot = this.#slots[actor.chance.within(0, SLOTS - 1)]
      if (slot !== undefined) await this.#act(actor, slot, known)
    })
  }

  async #act(actor: Actor, slot: Slot, known: Map<string, Known>): Promise<void> {
    const { chance } = actor
    const key = chance.oneOf(slot.keys)
    const step = { actor, slot, key, known }
    const kind = chance.within(0, 99)
    slot.operations += 1
    if (kind < 30) await this.#put(step)
    else if (kind < 62) await this.#get(step)
    else if (kind < 84) await this.#compareAndSet(step)
    else if (kind < 88) await this.#delete(step)
    else if (kind < 94) await this.#putBoth(step)
    else await this.#getBoth(step)
    if (slot.operations < OPERATIONS_MAX && slot.unknown < UNKNOWN_MAX) return
    const at = this.#slots.indexOf(slot)
    if (at >= 0) this.#slots[at] = this.#make()
  }

  async #put({ actor, slot, key }: Step): Promise<void> {
    const value = actor.unique()
    const pairs = [[key, value]] as const
    const plain = actor.chance.happens(0.5)
    const request: Request = plain
      ? { method: 'POST', path: '/key', body: JSON.stringify({ [key]: value }) }
      : { method: 'PUT', path: `/v1/kv/${key}`, body: value }
    const reply = await actor.write(request)
    this.#note(slot, { kind: 'put', pairs }, reply, written)
  }

  async #putBoth({ actor, slot }: Step): Promise<void> {
    const pairs = slot.keys.map(key => [key, actor.unique()] as const)
    const body = JSON.stringify(Object.fromEntries(pairs))
    const reply = await actor.write({ method: 'POST', path: '/key', body })
    this.#note(slot, { kind: 'put', pairs }, reply, written)
  }

  async #get({ actor, slot, key, known }: Step): Promise<void> {
    const action: Action = { kind: 'get', keys: [key] }
    if (actor.chance.happens(0.3)) {
      const reply = await actor.read(`/key/${encodeURIComponent(key)}?consistent`)
      this.#note(slot, action, reply, answer => {
        const { [key]: text = '' } = JSON.parse(answer.body) as Record<string, string>
        return { kind: 'seen', cells: [{ value: text === '' ? null : text, index: null }] }
      })
      return
    }
    const reply = await actor.read(`/v1/kv/${key}`)
    this.#note(slot, action, reply, answer => {
      const [row] = rowsOf(answer)
      known.set(key, { value: row ? textIn(row) : null, index: row?.ModifyIndex ?? 0 })
      return { kind: 'seen', cells: [cellOf(row)] }
    })
  }

  async #getBoth({ actor, slot }: Step): Promise<void> {
    const reply = await actor.read(`/v1/kv/${slot.prefix}?recurse`)
    this.#note(slot, { kind: 'get', keys: slot.keys }, reply, answer => {
      const rows = rowsOf(answer)
      const cells = slot.keys.map(key => cellOf(rows.find(row => row.Key === key)))
      return { kind: 'seen', cells }
    })
  }

  async #compareAndSet({ actor, slot, key, known }: Step): Promise<void> {
    const { value: expected, index } = known.get(key) ?? { value: null, index: 0 }
    const value = actor.unique()
    const path = `/v1/kv/${key}?cas=${index}`
    const reply = await actor.write({ method: 'PUT', path, body: value })
    const action: Action = { kind: 'compare-and-set', key, expected, value }
    this.#note(slot, action, reply, answer =>
      answer.body.trim() === 'true' ? written(answer) : { kind: 'mismatch' },
    )
  }

  async #delete({ actor, slot, key }: Step): Promise<void> {
    const reply = await actor.write({ method: 'DELETE', path: `/key/${encodeURIComponent(key)}` })
    this.#note(slot, { kind: 'delete', key }, reply, answer => {
      return { kind: 'deleted', found: null, index: indexOf(answer) }
    })
  }

  #note(slot: Slot, action: Action, reply: Reply, answerOf: (reply: Reply) => Answer): void {
    const { called, returned, conclusion } = reply
    if (conclusion === 'refused') return
    const { ledger } = this.#scene
    const sure = conclusion === 'sure'
    if (!sure && action.kind === 'get') return
    if (!sure) slot.unknown += 1
    const answer = sure ? answerOf(reply) : null
    const operation: Operation = { action, called, returned: sure ? returned : null, answer }
    ledger.operations.push(operation)
    if (answer?.kind === 'written' && answer.index !== null) {
      for (const [key, value] of pairsOf(action)) {
        ledger.acknowledged.push({ index: answer.index, key, value })
      }
    }
  }

  #make(): Slot {
    const prefix = `r/${this.#made}/`
    this.#made += 1
    const keys = [`${prefix}a`, `${prefix}b`] as const
    this.keys.push(...keys)
    return { prefix, keys, operations: 0, unknown: 0 }
  }
}

interface Step {
  readonly actor: Actor
  readonly slot: Slot
  readonly key: string
  readonly known: Map<string, Known>
}

function written(reply: Reply): Answer {
  return { kind: 'written', index: indexOf(reply) }
}

function cellOf(row: Row | undefined) {
  return row === undefined
    ? { value: null, index: null }
    : { value: textIn(row), index: row.ModifyIndex }
}

function pairsOf(action: Action): readonly (readonly [string, string])[] {
  if (action.kind === 'put') return action.pairs
  return action.kind === 'compare-and-set' ? [[action.key, action.value]] : []
}
