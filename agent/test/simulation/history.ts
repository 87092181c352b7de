import { assert } from '../../src/lib/assert.ts'
import type { Persist } from '../../src/raft/effect.ts'
import type { Entry, LogIndex, Term } from '../../src/raft/types.ts'

/** An entry together with everything before it: two are equal if and only if the whole prefixes are. */
export type Link = number

/** Gives equal names to equal prefixes of logs, on whichever node they are. */
export class Histories {
  readonly #links = new Map<string, Link>()

  link(before: Link, entry: Entry): Link {
    const payload = Buffer.from(entry.payload).toString('latin1')
    const key = `${before}/${entry.term}/${entry.kind}/${payload}`
    const known = this.#links.get(key)
    if (known !== undefined) return known
    this.#links.set(key, this.#links.size + 1)
    return this.#links.size
  }
}

/** One node's log as its core believes it to be, durable or not. */
export class LogMirror {
  /** the first entry that the last write replaced, with all before it; 0: none */
  dropped: Link = 0
  readonly #histories: Histories
  readonly #links: Link[] = []
  readonly #terms: Term[] = []
  /** entries that change the membership */
  #changes: Entry[] = []

  constructor(histories: Histories, entries: readonly Entry[]) {
    this.#histories = histories
    for (const entry of entries) this.#append(entry)
  }

  get length(): number {
    return this.#links.length
  }

  /** 0 where the log has no such entry. */
  linkAt(index: LogIndex | number): Link {
    return this.#links[index - 1] ?? 0
  }

  termAt(index: LogIndex | number): Term | null {
    return this.#terms[index - 1] ?? null
  }

  changeAt(index: LogIndex | number): Entry | null {
    return this.#changes.find(entry => entry.index === index) ?? null
  }

  /** The newest change of the membership below `index`. */
  changeBefore(index: LogIndex): Entry | null {
    return this.#changes.findLast(entry => entry.index < index) ?? null
  }

  get changes(): readonly Entry[] {
    return this.#changes
  }

  /** Follows a write. */
  follow({ truncateFrom, entries }: Persist): void {
    this.dropped = 0
    if (truncateFrom !== null) {
      this.dropped = this.linkAt(truncateFrom)
      this.#links.length = truncateFrom - 1
      this.#terms.length = truncateFrom - 1
      this.#changes = this.#changes.filter(({ index }) => index < truncateFrom)
    }
    for (const entry of entries) this.#append(entry)
  }

  #append(entry: Entry): void {
    assert(entry.index === this.#links.length + 1, 'a log has no gap')
    this.#links.push(this.#histories.link(this.#links.at(-1) ?? 0, entry))
    this.#terms.push(entry.term)
    if (entry.kind === 'configuration') this.#changes = [...this.#changes, entry]
  }
}
