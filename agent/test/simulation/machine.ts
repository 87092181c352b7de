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
  /** requests of which only a snapshot says that they were answered */
  #told = new Set<string>()
  /** of every cell and every answer, in no order */
  #content = 0
  /** of all that was applied, in its order */
  #chain = 0
  /** the entry from which on this machine is not what it should be */
  #divergence: number | null = null

  /** Of what was applied and of what became of it: equal where entry and state are, by log or by snapshot. */
  get hash(): number {
    return (this.#chain ^ Math.imul(this.#content, 0x01000193)) >>> 0
  }

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

  /** Whether what this machine knows of the request came with a snapshot. */
  wasTold(request: string): boolean {
    return this.#told.has(request)
  }

  /** False: a request that had taken effect before. */
  apply(entry: Entry): boolean {
    this.entries.push(entry)
    this.#chain = Math.imul(this.#chain ^ hashOf(`${entry.index}/${entry.term}`), 0x01000193)
    if (entry.index === this.#divergence) this.#chain ^= 1
    const command = commandOf(entry)
    if (command === null || command.action === null) return true
    const { request, action } = command
    if (request !== null && this.#answers.has(request)) return false
    const answer = this.#change(action, entry.index)
    if (request !== null) this.#remember(request, answer)
    return true
  }

  /** From the next entry on it comes to something else than the others, where no client looks. */
  diverge(): void {
    this.#divergence ??= this.length + 1
  }

  get hasDiverged(): boolean {
    return this.#divergence !== null
  }

  /** Up to here nothing is lost any more. */
  checkpoint(): void {
    this.durable = this.length
  }

  /** Becomes what another machine is, durably, the memory of requests included. */
  restore({ entries, cells, answers, chain }: SimulatedMachine): void {
    this.entries.splice(0, this.entries.length, ...entries)
    this.#cells = new Map(cells)
    this.#answers = new Map(answers)
    this.#told = new Set(this.#answers.keys())
    this.#chain = chain
    this.#divergence = null
    this.#content = 0
    for (const [key, seen] of this.#cells) this.#content ^= hashOfCell(key, seen)
    for (const [request, answer] of this.#answers) this.#content ^= hashOfAnswer(request, answer)
    this.checkpoint()
  }

  get chain(): number {
    return this.#chain
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
    if (this.#divergence !== null && this.#divergence > length) this.#divergence = null
    this.#cells.clear()
    this.#answers.clear()
    this.#content = 0
    this.#chain = 0
    for (const entry of kept) this.apply(entry)
  }

  /** All of it is gone, whatever was durable. */
  lose(): void {
    this.setBack(0)
    this.#told.clear()
    this.durable = 0
  }

  /** Equal on nodes that have applied the same. */
  text(): string {
    return JSON.stringify([[...this.#cells].sort(), [...this.#answers].sort()])
  }

  #remember(request: string, answer: Answer): void {
    this.#answers.set(request, answer)
    this.#content ^= hashOfAnswer(request, answer)
  }

  #set(key: string, seen: Seen): void {
    this.#content ^= hashOfCell(key, this.#cells.get(key)) ^ hashOfCell(key, seen)
    this.#cells.set(key, seen)
  }

  #change(action: Write, index: number): Answer {
    switch (action.kind) {
      case 'put':
        for (const [key, value] of action.pairs) this.#set(key, { value, index })
        return { kind: 'written', index }
      case 'compare-and-set':
        if (this.read(action.key).value !== action.expected) return { kind: 'mismatch' }
        this.#set(action.key, { value: action.value, index })
        return { kind: 'written', index }
      case 'delete': {
        this.#content ^= hashOfCell(action.key, this.#cells.get(action.key))
        const found = this.#cells.delete(action.key)
        return { kind: 'deleted', found, index: found ? index : null }
      }
      case 'add': {
        const sum = Number(this.read(action.key).value ?? '0') + action.amount
        this.#set(action.key, { value: String(sum), index })
        return { kind: 'sum', value: sum, index }
      }
    }
  }
}

/** 0 where there is none. */
function hashOfCell(key: string, seen: Seen | undefined): number {
  return seen === undefined ? 0 : hashOf(`cell ${key} ${seen.value} ${seen.index}`)
}

function hashOfAnswer(request: string, answer: Answer): number {
  const value = answer.kind === 'sum' ? answer.value : ''
  const index = 'index' in answer ? answer.index : ''
  return hashOf(`answer ${request} ${answer.kind} ${value} ${index}`)
}

/** FNV-1a, 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  }
  return hash
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
