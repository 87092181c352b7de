/** Sets: elements are added, up to three at once, and all are listed. What was acknowledged is there, what was refused never. */

import { Actor, type Scene } from './clients.ts'

const CLIENTS = 2
const PAUSE_MS = 120
/** A set is left for a new one after so many. */
const ELEMENTS_MAX = 300
const ELEMENTS_AT_ONCE = 3
/** Of a hundred steps. */
const LISTS = 12

type Fate = 'asked' | 'acknowledged' | 'refused'

/** An addition: all its elements or none. */
interface Addition {
  readonly elements: readonly string[]
  fate: Fate
  /** when its answer came */
  returned: number
}

interface SetOfElements {
  readonly prefix: string
  readonly additions: Addition[]
}

/** Judges what a list shows, for one set; exported for its tests. @param called when the list was asked for @returns what is wrong */
export function judgeList(
  additions: readonly Readonly<Addition>[],
  shown: ReadonlySet<string>,
  called: number,
): string[] {
  const wrong: string[] = []
  const known = new Set<string>()
  for (const { elements, fate, returned } of additions) {
    for (const element of elements) known.add(element)
    const there = elements.filter(element => shown.has(element)).length
    if (fate === 'acknowledged' && returned <= called && there < elements.length) {
      wrong.push(`of ${elements.join(' ')}, acknowledged before, only ${there} are there`)
    } else if (fate === 'refused' && there > 0) {
      wrong.push(`${elements.join(' ')} were refused, and ${there} are there`)
    } else if (there > 0 && there < elements.length) {
      wrong.push(`of ${elements.join(' ')}, added at once, ${there} are there`)
    }
  }
  for (const element of shown) if (!known.has(element)) wrong.push(`nobody added ${element}`)
  return wrong
}

export class Sets {
  readonly #scene: Scene
  readonly #sets: SetOfElements[] = []

  constructor(scene: Scene) {
    this.#scene = scene
    this.#renew()
  }

  start(): Promise<void>[] {
    return Array.from({ length: CLIENTS }, (_, at) => {
      const actor = new Actor(this.#scene, `set${at}`, PAUSE_MS)
      return actor.repeat(() =>
        actor.chance.within(0, 99) < LISTS ? this.#list(actor) : this.#add(actor),
      )
    })
  }

  /** @param keys all that a node has in the end */
  check(node: string, keys: ReadonlySet<string>): void {
    for (const { prefix, additions } of this.#sets) {
      const shown = new Set([...keys].filter(key => key.startsWith(prefix)))
      const wrong = judgeList(additions, shown, Number.POSITIVE_INFINITY)
      for (const text of wrong) this.#scene.ledger.violation(`${node} in the end: ${text}`)
    }
  }

  async #add(actor: Actor): Promise<void> {
    const set = this.#current()
    const count = actor.chance.within(1, ELEMENTS_AT_ONCE)
    const elements = Array.from({ length: count }, () => `${set.prefix}${actor.unique()}`)
    const addition: Addition = { elements, fate: 'asked', returned: Number.POSITIVE_INFINITY }
    set.additions.push(addition)
    const pairs = Object.fromEntries(elements.map(element => [element, 'in']))
    const reply = await actor.write({ method: 'POST', path: '/key', body: JSON.stringify(pairs) })
    addition.returned = reply.returned
    if (reply.conclusion === 'sure') addition.fate = 'acknowledged'
    if (reply.conclusion === 'refused') addition.fate = 'refused'
    if (set.additions.length * 2 > ELEMENTS_MAX && set === this.#current()) this.#renew()
  }

  async #list(actor: Actor): Promise<void> {
    const { prefix, additions } = this.#current()
    const reply = await actor.read(`/v1/kv/${prefix}?keys`)
    if (reply.conclusion !== 'sure') return
    const keys = reply.status === 404 ? [] : (JSON.parse(reply.body) as readonly string[])
    const wrong = judgeList(additions, new Set(keys), reply.called)
    for (const text of wrong) actor.ledger.violation(`a list of ${prefix}: ${text}`)
  }

  #current(): SetOfElements {
    return this.#sets.at(-1) ?? this.#renew()
  }

  #renew(): SetOfElements {
    const made = { prefix: `set/${this.#sets.length}/`, additions: [] }
    this.#sets.push(made)
    return made
  }
}
