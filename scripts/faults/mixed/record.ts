/** What clients of a run saw, and what was found wrong with it. */

import { appendFileSync } from 'node:fs'
import type { Operation } from '../../../agent/test/simulation/model.ts'
import { indexOf, type Reply } from './caller.ts'

/** Texts that are kept; each violation is counted. */
const TEXTS_MAX = 20
/** A line of the history waits in memory until there are so many. */
const LINES_MAX = 500
/** Answers of a node that are remembered: more than come while one request lasts. */
const HIGHEST_MAX = 2_000

/** A write whose answer named its entry. */
export interface Acknowledged {
  readonly index: number
  readonly key: string
  readonly value: string
}

export class Ledger {
  readonly operations: Operation[] = []
  readonly acknowledged: Acknowledged[] = []
  readonly violations: string[] = []
  violationCount = 0
  readonly counts = { operations: 0, ok: 0, unknown: 0, refused: 0 }
  readonly statuses = new Map<number, number>()
  longestWithoutWriteMs = 0
  #lastWrite: number | null = null
  readonly #file: string
  readonly #shown = new Map<string, Shown>()
  #lines: string[] = []
  #clientsLeft = false

  /** @param file where the history goes, a line an answer */
  constructor(file: string) {
    this.#file = file
  }

  /** Of every request, once it has ended. @param what for people */
  answered(what: string, reply: Reply, writes: boolean): void {
    const { counts } = this
    counts.operations += 1
    this.statuses.set(reply.status, (this.statuses.get(reply.status) ?? 0) + 1)
    this.line({ what, ...brief(reply) })
    if (reply.conclusion === 'sure') counts.ok += 1
    else if (reply.conclusion === 'refused') counts.refused += 1
    else counts.unknown += 1
    if (reply.conclusion === 'sure' && writes) this.#noteWrite(reply.returned)
    const { 'x-raft-node': node } = reply.headers
    const index = indexOf(reply)
    if (reply.conclusion !== 'sure' || typeof node !== 'string' || index === null) return
    const shown = this.#shown.get(node) ?? new Shown()
    this.#shown.set(node, shown)
    const floor = shown.see(index, reply)
    if (index >= floor) return
    this.violation(`${node} showed index ${floor}, and then ${index} in ${what} by ${reply.url}`)
  }

  /** From now on clients only end what they began: a pause says nothing. */
  clientsLeave(): void {
    this.#clientsLeft = true
  }

  violation(text: string): void {
    this.violationCount += 1
    if (this.violations.length < TEXTS_MAX) this.violations.push(text)
    this.line({ violation: text })
  }

  /** What a node shows may be older after this. */
  startedAnew(id: string): void {
    this.#shown.set(id, new Shown(performance.now()))
  }

  line(fields: Readonly<Record<string, unknown>>): void {
    this.#lines.push(JSON.stringify({ at: Math.round(performance.now() * 1000) / 1000, ...fields }))
    if (this.#lines.length >= LINES_MAX) this.flush()
  }

  flush(): void {
    if (this.#lines.length > 0) appendFileSync(this.#file, `${this.#lines.join('\n')}\n`)
    this.#lines = []
  }

  #noteWrite(at: number): void {
    if (this.#clientsLeft) return
    const last = this.#lastWrite ?? at
    this.longestWithoutWriteMs = Math.max(this.longestWithoutWriteMs, at - last)
    this.#lastWrite = Math.max(at, last)
  }
}

/** While an agent lives, what it shows does not go back: for whoever asks after another was answered. */
class Shown {
  readonly #since: number
  /** the highest so far, by the time it was answered; both grow */
  readonly #highest: { readonly index: number; readonly returned: number }[] = []

  constructor(since = 0) {
    this.#since = since
  }

  /** @returns what it must not be below */
  see(index: number, { called, returned }: Pick<Reply, 'called' | 'returned'>): number {
    if (called < this.#since) return 0
    const floor = this.#highest.findLast(each => each.returned <= called)?.index ?? 0
    if (index > (this.#highest.at(-1)?.index ?? 0)) this.#highest.push({ index, returned })
    if (this.#highest.length > HIGHEST_MAX) this.#highest.shift()
    return floor
  }
}

function brief({ status, conclusion, called, returned, url, body, headers }: Reply) {
  const { 'x-raft-index': index, 'x-raft-node': node } = headers
  return { status, conclusion, called, returned, url, index, node, body: body.slice(0, 200) }
}
