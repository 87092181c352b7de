import type { Entry, LogPosition } from '../../src/raft/types.ts'
import { ORIGIN } from '../../src/raft/types.ts'
import type { Action, Answer, Seen } from './model.ts'

/** What a proposal says. */
export interface Command {
  /** which proposal of all; a client that tries again makes another one */
  readonly attempt: number
  /** names what the client wants, the same in all its attempts; it takes effect once. Null: nobody asks twice */
  readonly request: string | null
  /** null: nothing but an entry in the log */
  readonly action: Write | null
}

export type Write = Exclude<Action, { kind: 'get' }>

/** A store of single values, with the memory of requests that keeps a retry from taking effect twice. */
export class SimulatedMachine {
  /** applied, oldest first */
  readonly entries: Entry[] = []
  /** what power loss cannot take back */
  durable = 0
  #cells = new Map<string, Seen>()
  #answers = new Map<string, Answer>()

  get length(): number {
    return this.entries.length
  }

  get position(): LogPosition {
    const { index, term } = this.entries.at(-1) ?? ORIGIN
    return { index, term }
  }

  read(key: string): Seen {
    return this.#cells.get(key) ?? { value: null, index: null }
  }

  answerTo(request: string): Answer | null {
    return this.#answers.get(request) ?? null
  }

  /** False: a request that had taken effect before. */
  apply(entry: Entry): boolean {
    this.entries.push(entry)
    const command = commandOf(entry)
    if (command === null || command.action === null) return true
    const { request, action } = command
    if (request !== null && this.#answers.has(request)) return false
    const answer = this.#change(action, entry.index)
    if (request !== null) this.#answers.set(request, answer)
    return true
  }

  /** Up to here nothing is lost any more. */
  checkpoint(): void {
    this.durable = this.length
  }

  /** Becomes what another machine is, durably, the memory of requests included. */
  restore({ entries, cells, answers }: SimulatedMachine): void {
    this.entries.splice(0, this.entries.length, ...entries)
    this.#cells = new Map(cells)
    this.#answers = new Map(answers)
    this.checkpoint()
  }

  get cells(): ReadonlyMap<string, Seen> {
    return this.#cells
  }

  get answers(): ReadonlyMap<string, Answer> {
    return this.#answers
  }

  /** Forgets all but the first `length` entries and what came of them. */
  setBack(length: number): void {
    const kept = this.entries.splice(0).slice(0, length)
    this.#cells.clear()
    this.#answers.clear()
    for (const entry of kept) this.apply(entry)
  }

  /** Equal on nodes that have applied the same. */
  text(): string {
    return JSON.stringify([[...this.#cells].sort(), [...this.#answers].sort()])
  }

  #change(action: Write, index: number): Answer {
    switch (action.kind) {
      case 'put':
        for (const [key, value] of action.pairs) this.#cells.set(key, { value, index })
        return { kind: 'written', index }
      case 'compare-and-set':
        if (this.read(action.key).value !== action.expected) return { kind: 'mismatch' }
        this.#cells.set(action.key, { value: action.value, index })
        return { kind: 'written', index }
      case 'delete': {
        const found = this.#cells.delete(action.key)
        return { kind: 'deleted', found, index: found ? index : null }
      }
      case 'add': {
        const sum = Number(this.read(action.key).value ?? '0') + action.amount
        this.#cells.set(action.key, { value: String(sum), index })
        return { kind: 'sum', value: sum, index }
      }
    }
  }
}

/** Short, since some weathers count bytes. */
export function encodeCommand({ attempt, request, action }: Command, bytesMin = 0): Uint8Array {
  const words = [attempt, request ?? '-', ...(action === null ? [] : wordsOf(action))]
  return new Uint8Array(Buffer.from(words.join(' ').padEnd(bytesMin)))
}

/** Null for a no-op of a leader. */
export function commandOf({ kind, payload }: Entry): Command | null {
  if (kind !== 'command') return null
  const text = Buffer.from(payload).toString('latin1').trimEnd()
  const [attempt, request, verb, key = '', ...values] = text.split(' ')
  const action = verb === undefined ? null : actionOf(verb, key, values)
  return { attempt: Number(attempt), request: request === '-' ? null : (request ?? null), action }
}

function wordsOf(action: Write): (string | number)[] {
  switch (action.kind) {
    case 'put':
      return ['put', ...action.pairs.flat()]
    case 'compare-and-set':
      return ['cas', action.key, action.expected ?? '-', action.value]
    case 'delete':
      return ['del', action.key]
    case 'add':
      return ['add', action.key, action.amount]
  }
}

function actionOf(verb: string, key: string, values: readonly string[]): Write {
  const [first = '', second = ''] = values
  if (verb === 'put') return { kind: 'put', pairs: [[key, first]] }
  if (verb === 'del') return { kind: 'delete', key }
  if (verb === 'add') return { kind: 'add', key, amount: Number(first) }
  const expected = first === '-' ? null : first
  return { kind: 'compare-and-set', key, expected, value: second }
}
