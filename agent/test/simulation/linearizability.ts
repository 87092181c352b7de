import { grouped } from '../../../scripts/lib/grouped.ts'
import { keysOf, Model, type Operation, onlyReads, type State } from './model.ts'

/** `undecided`: more possibilities than are worth following; a test must treat it as a failure. */
export type Verdict =
  | { readonly kind: 'linearizable' }
  | { readonly kind: 'violation'; readonly at: Operation; readonly open: readonly Operation[] }
  | { readonly kind: 'undecided' }

const CONFIGURATIONS_MAX = 200_000

/**
 * Whether each operation can be given one moment between its call and its return, so that a single
 * copy taking them in that order would have answered the same (Herlihy and Wing 1990). Operations
 * that surely had no effect are left out by the caller; one without an answer may have taken effect
 * at any time after its call, or never.
 *
 * Keys that no operation ties together are judged apart, which is the same.
 */
export function judge(operations: readonly Operation[], max = CONFIGURATIONS_MAX): Verdict {
  for (const group of groupsOf(operations)) {
    const verdict = new Search(group, max).run()
    if (verdict.kind !== 'linearizable') return verdict
  }
  return { kind: 'linearizable' }
}

/** One way to explain everything that has returned so far. */
interface Configuration {
  readonly state: State
  /** operations that have not returned and already happened, ascending */
  readonly placed: readonly number[]
}

interface Event {
  readonly time: number
  readonly operation: number
  readonly returns: boolean
}

/** Walks the events in time order and carries all configurations; only a return forces a choice. */
class Search {
  readonly #operations: readonly Operation[]
  readonly #max: number
  readonly #model: Model
  /** Equal for operations without an answer of which any may stand for any other; null for the rest. */
  readonly #twins: readonly (string | null)[]
  readonly #open = new Set<number>()
  #frontier = new Map<string, Configuration>()

  constructor(operations: readonly Operation[], max: number) {
    this.#operations = operations
    this.#max = max
    this.#model = new Model(operations)
    this.#twins = twinsOf(operations)
    const start = { state: this.#model.initial, placed: [] }
    this.#frontier.set(nameOf(start), start)
  }

  run(): Verdict {
    for (const { operation, returns } of eventsOf(this.#operations)) {
      if (!returns) {
        this.#open.add(operation)
        continue
      }
      const next = this.#explain(operation)
      if (next === null) return { kind: 'undecided' }
      if (next.size === 0) return this.#violation(operation)
      this.#open.delete(operation)
      this.#frontier = next
    }
    return { kind: 'linearizable' }
  }

  /** All configurations in which the operation that returns now has happened; null: too many. */
  #explain(returning: number): Map<string, Configuration> | null {
    const next = new Map<string, Configuration>()
    const seen = new Set<string>()
    const stack = [...this.#frontier.values()]
    for (let last = stack.pop(); last !== undefined; last = stack.pop()) {
      const configuration = this.#placeReaders(last)
      const name = nameOf(configuration)
      if (seen.has(name)) continue
      seen.add(name)
      if (seen.size > this.#max) return null
      if (configuration.placed.includes(returning)) {
        const placed = configuration.placed.filter(each => each !== returning)
        const left = { state: configuration.state, placed }
        next.set(nameOf(left), left)
      } else {
        stack.push(...this.#successors(configuration))
      }
    }
    return next
  }

  /** What only reads and fits now is never better placed later. */
  #placeReaders({ state, placed }: Configuration): Configuration {
    const readers = [...this.#open].filter(each => {
      const operation = this.#at(each)
      return (
        !placed.includes(each) &&
        onlyReads(operation) &&
        this.#model.after(state, operation) === state
      )
    })
    return { state, placed: ascending([...placed, ...readers]) }
  }

  #successors({ state, placed }: Configuration): Configuration[] {
    const successors: Configuration[] = []
    const tried = new Set<string>()
    for (const each of this.#open) {
      if (placed.includes(each)) continue
      const twin = this.#twins[each] ?? null
      if (twin !== null && tried.has(twin)) continue
      if (twin !== null) tried.add(twin)
      const operation = this.#at(each)
      const after = this.#model.after(state, operation)
      // Without an answer and without an effect it explains nothing.
      if (after === null || (after === state && operation.answer === null)) continue
      successors.push({ state: after, placed: ascending([...placed, each]) })
    }
    return successors
  }

  #violation(operation: number): Verdict {
    const open = [...this.#open].filter(each => each !== operation).map(each => this.#at(each))
    return { kind: 'violation', at: this.#at(operation), open }
  }

  #at(operation: number): Operation {
    const found = this.#operations[operation]
    if (found === undefined) throw new RangeError(`no operation ${operation}`)
    return found
  }
}

/** Two that were never answered, and write the same or what nobody ever saw, need not be told apart. */
function twinsOf(operations: readonly Operation[]): (string | null)[] {
  const met = new Set<string | null>()
  for (const { action, answer } of operations) {
    if (action.kind === 'compare-and-set') met.add(action.expected)
    if (answer?.kind === 'seen') for (const { value } of answer.cells) met.add(value)
  }
  // A sum tells what it was added to.
  const sums = operations.some(({ action }) => action.kind === 'add')
  const unseen = (value: string): string => (sums || met.has(value) ? value : '?')
  return operations.map(({ action, answer, returned }) => {
    if (answer !== null || returned !== null) return null
    if (action.kind === 'compare-and-set') {
      return JSON.stringify({ ...action, value: unseen(action.value) })
    }
    if (action.kind !== 'put') return JSON.stringify(action)
    return JSON.stringify({ put: action.pairs.map(([key, value]) => [key, unseen(value)]) })
  })
}

/** At equal times calls come first: the order is then left open. */
function eventsOf(operations: readonly Operation[]): Event[] {
  const events = operations.flatMap(({ called, returned }, operation): Event[] => {
    const call = { time: called, operation, returns: false }
    return returned === null ? [call] : [call, { time: returned, operation, returns: true }]
  })
  return events.sort(
    (a, b) => a.time - b.time || Number(a.returns) - Number(b.returns) || a.operation - b.operation,
  )
}

/** Operations whose keys are tied together by some operation. */
function groupsOf(operations: readonly Operation[]): Operation[][] {
  const tied = new Map<string, string>()
  const first = (key: string): string => {
    let at = key
    for (let next = tied.get(at); next !== undefined; next = tied.get(at)) at = next
    if (at !== key) tied.set(key, at)
    return at
  }
  const groupOf = ({ action }: Operation) => first(keysOf(action)[0] ?? '')
  for (const operation of operations) {
    const root = groupOf(operation)
    for (const key of keysOf(operation.action)) {
      const other = first(key)
      if (other !== root) tied.set(other, root)
    }
  }
  return [...grouped(operations, groupOf).values()]
}

function ascending(numbers: number[]): number[] {
  return numbers.sort((a, b) => a - b)
}

function nameOf({ state, placed }: Configuration): string {
  const cells = state.map(({ value, index, exact }) => `${value}@${index}${exact ? '' : '+'}`)
  return `${JSON.stringify(cells)} ${placed.join(' ')}`
}
