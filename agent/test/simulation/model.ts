/** What clients ask of a key-value store and are told, and what a single copy of it would do. */

export type Action =
  | { readonly kind: 'get'; readonly keys: readonly string[] }
  /** all pairs at once, or none */
  | { readonly kind: 'put'; readonly pairs: readonly (readonly [key: string, value: string])[] }
  /** `expected`: null for absent */
  | {
      readonly kind: 'compare-and-set'
      readonly key: string
      readonly expected: string | null
      readonly value: string
    }
  | { readonly kind: 'delete'; readonly key: string }
  /** not idempotent: absent counts as 0 */
  | { readonly kind: 'add'; readonly key: string; readonly amount: number }

/** A value and the index of the entry that wrote it; null where absent, or where the answer does not say. */
export interface Seen {
  readonly value: string | null
  readonly index: number | null
}

export type Answer =
  | { readonly kind: 'seen'; readonly cells: readonly Seen[] }
  | { readonly kind: 'written'; readonly index: number | null }
  | { readonly kind: 'mismatch' }
  /** `found`: null where the answer does not say */
  | { readonly kind: 'deleted'; readonly found: boolean | null; readonly index: number | null }
  | { readonly kind: 'sum'; readonly value: number; readonly index: number | null }

/** What one client asked for once, however often it tried. */
export interface Operation {
  readonly action: Action
  readonly called: number
  /** null: it never learnt what became of it */
  readonly returned: number | null
  readonly answer: Answer | null
}

export interface Cell {
  readonly value: string | null
  /** of the last write; if not `exact`, at least this */
  readonly index: number
  readonly exact: boolean
}

export type State = readonly Cell[]

export function keysOf(action: Action): readonly string[] {
  if (action.kind === 'get') return action.keys
  return action.kind === 'put' ? action.pairs.map(([key]) => key) : [action.key]
}

/** Answers that changed nothing, whatever the state was. */
export function onlyReads({ action, answer }: Operation): boolean {
  if (answer === null) return false
  if (action.kind === 'get' || answer.kind === 'mismatch') return true
  return answer.kind === 'deleted' && answer.found === false
}

/** A single copy of some keys. */
export class Model {
  readonly initial: State
  readonly #keys: readonly string[]
  /** If no answer names an index, none is kept: states that differ in nothing else are one. */
  readonly #indexed: boolean

  constructor(operations: readonly Operation[]) {
    this.#keys = [...new Set(operations.flatMap(({ action }) => keysOf(action)))].sort()
    this.#indexed = operations.some(({ answer }) => answer !== null && namesIndex(answer))
    this.initial = this.#keys.map(() => ({ value: null, index: 0, exact: true }))
  }

  /** The state after the operation, the very same one if nothing changed; null if its answer does not fit. */
  after(state: State, { action, answer }: Operation): State | null {
    switch (action.kind) {
      case 'get':
        return this.#get(state, action.keys, answer)
      case 'put':
        return this.#put(state, action.pairs, answer)
      case 'compare-and-set': {
        const fits = this.#cell(state, action.key).value === action.expected
        if (!fits) return answer === null || answer.kind === 'mismatch' ? state : null
        if (answer?.kind === 'mismatch') return null
        return this.#put(state, [[action.key, action.value]], answer)
      }
      case 'delete':
        return this.#delete(state, action.key, answer)
      case 'add': {
        const sum = Number(this.#cell(state, action.key).value ?? '0') + action.amount
        if (answer !== null && (answer.kind !== 'sum' || answer.value !== sum)) return null
        return this.#write(state, [[action.key, String(sum)]], answer?.index ?? null)
      }
    }
  }

  #get(state: State, keys: readonly string[], answer: Answer | null): State | null {
    if (answer?.kind !== 'seen') return answer === null ? state : null
    let next = state
    for (const [at, key] of keys.entries()) {
      const before = this.#cell(next, key)
      const after = learn(before, answer.cells[at])
      if (after === null) return null
      if (after !== before) next = this.#set(next, key, after)
    }
    return next
  }

  #put(
    state: State,
    pairs: readonly (readonly [string, string])[],
    answer: Answer | null,
  ): State | null {
    if (answer !== null && answer.kind !== 'written') return null
    return this.#write(state, pairs, answer?.index ?? null)
  }

  #delete(state: State, key: string, answer: Answer | null): State | null {
    const found = this.#cell(state, key).value !== null
    if (answer !== null && answer.kind !== 'deleted') return null
    if (answer !== null && answer.found !== null && answer.found !== found) return null
    return found ? this.#write(state, [[key, null]], answer?.index ?? null) : state
  }

  /** Every write raises the index of what it writes. */
  #write(
    state: State,
    pairs: readonly (readonly [string, string | null])[],
    index: number | null,
  ): State | null {
    let next = state
    for (const [key, value] of pairs) {
      const { index: before } = this.#cell(state, key)
      if (index !== null && index <= before) return null
      const unnamed = this.#indexed ? before + 1 : 0
      next = this.#set(next, key, { value, index: index ?? unnamed, exact: index !== null })
    }
    return next
  }

  #cell(state: State, key: string): Cell {
    const cell = state[this.#keys.indexOf(key)]
    if (cell === undefined) throw new RangeError(`no such key: ${key}`)
    return cell
  }

  #set(state: State, key: string, cell: Cell): State {
    return state.with(this.#keys.indexOf(key), cell)
  }
}

/** What a reader's answer adds to the knowledge of a cell; null if it contradicts it. */
function learn(cell: Cell, seen: Seen | undefined): Cell | null {
  if (seen === undefined || seen.value !== cell.value) return null
  if (seen.value === null || seen.index === null) return cell
  if (cell.exact) return seen.index === cell.index ? cell : null
  return seen.index < cell.index ? null : { ...cell, index: seen.index, exact: true }
}

function namesIndex(answer: Answer): boolean {
  if (answer.kind === 'seen') return answer.cells.some(({ index }) => index !== null)
  return answer.kind !== 'mismatch' && answer.index !== null
}
