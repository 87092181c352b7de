import type { Database } from 'better-sqlite3'
import { withParts } from './rules.ts'
import { type Token, tokensOf } from './tokens.ts'

/** Words and signs that views and parts of a WITH may add to one command: some 0.1 s of SQLite's. */
export const ADDED_MAX = 10_000
/** Views and parts inside one another. */
const DEPTH_MAX = 200

/** What a statement says where all that it names is written out. */
export interface Spread {
  /** the statement, and each view that it leads to */
  readonly texts: readonly Text[]
  readonly triggers: readonly Text[]
  /**
   * What is written out, in tokens: SQLite puts a view, or a part of a WITH, wherever it is named, so that a few lines,
   * each of which names the one before it twice, never end. Infinity: views name one another in a circle.
   */
  readonly added: number
}

type Text = readonly Token[]
/** By name, in lower case as tokens are: more names are equal here than to SQLite. */
type Texts = Map<string, readonly Text[]>

function add(texts: Texts, name: string, text: Text): void {
  texts.set(name, [...(texts.get(name) ?? []), text])
}

interface Stored {
  readonly type: string
  readonly name: string
  readonly sql: string
}

/** As the schema is now. */
export function spreadOf(db: Database, statement: Text): Spread {
  const stored = db
    .prepare<[], Stored>(
      "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('view', 'trigger') ORDER BY name",
    )
    .all()
    .map(({ type, name, sql }) => ({ type, name: name.toLowerCase(), text: tokensOf(sql) ?? [] }))
  const views: Texts = new Map()
  for (const { type, name, text } of stored) if (type === 'view') add(views, name, text)
  const triggers = stored.flatMap(({ type, text }) => (type === 'trigger' ? [text] : []))
  const meanings = new Meanings([statement, ...triggers], views)
  const led = [...meanings.viewsBehind(statement)].flatMap(name => views.get(name) ?? [])
  return {
    texts: [statement, ...led],
    triggers,
    added: addedBy(statement, { meanings, views, triggers }),
  }
}

interface Around {
  readonly meanings: Meanings
  readonly views: Texts
  readonly triggers: readonly Text[]
}

/** ALTER has a look at all views; DROP at none, so that nobody is left with what can neither be used nor dropped. */
function addedBy(statement: Text, { meanings, views, triggers }: Around): number {
  const [first] = statement
  const verb = first?.kind === 'word' ? first.word : ''
  if (verb === 'drop') return 0
  const texts = [statement, ...triggers, ...(verb === 'alter' ? [...views.values()].flat() : [])]
  return texts.reduce((sum, text) => sum + meanings.added(text), 0)
}

/** What names stand for: views, and parts of any WITH. */
class Meanings {
  readonly #views: Texts
  readonly #texts: Texts = new Map()
  /** of what a name stands for, with all that it names; Infinity while that is found out */
  readonly #sizes = new Map<string, number>()

  constructor(texts: readonly Text[], views: Texts) {
    this.#views = views
    for (const [name, all] of views) for (const text of all) add(this.#texts, name, text)
    for (const text of [...texts, ...[...views.values()].flat()]) {
      for (const { name, body } of withParts(text)) add(this.#texts, name, body)
    }
  }

  /** By what a text names. */
  added(text: Text, own = '', depth = 0): number {
    let added = 0
    for (const name of this.#named(text, partsOf(text))) {
      if (name !== own) added += this.#size(name, depth)
    }
    return added
  }

  viewsBehind(text: Text): ReadonlySet<string> {
    const found = new Set<string>()
    const waiting = [text]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      for (const name of this.#named(next, NONE)) {
        if (found.has(name)) continue
        found.add(name)
        waiting.push(...(this.#views.get(name) ?? []))
      }
    }
    return found
  }

  #size(name: string, depth: number): number {
    const known = this.#sizes.get(name)
    if (known !== undefined) return known
    if (depth === DEPTH_MAX) return Number.POSITIVE_INFINITY
    this.#sizes.set(name, Number.POSITIVE_INFINITY)
    let size = 0
    for (const text of this.#texts.get(name) ?? []) {
      size += text.length + this.added(text, name, depth + 1)
    }
    this.#sizes.set(name, size)
    return size
  }

  /** Each name as often as it is there; none that is surely a column's or an alias. */
  *#named(text: Text, except: ReadonlySet<number>): Iterable<string> {
    for (const [at, token] of text.entries()) {
      if (except.has(at) || token.kind !== 'word' || !this.#texts.has(token.word)) continue
      const [scope, before] = [text[at - 2], text[at - 1]]
      if (before?.kind === 'word' && before.word === 'as') continue
      const isColumn = before?.kind === 'sign' && before.sign === '.'
      if (isColumn && !(scope?.kind === 'word' && scope.word === 'main')) continue
      yield token.word
    }
  }
}

const NONE: ReadonlySet<number> = new Set()

/**
 * Where the parts of a WITH stand: they are written out where they are named, and nowhere else. A WINDOW has parts that look
 * alike, and are written out where they stand.
 */
function partsOf(text: Text): ReadonlySet<number> {
  const places = new Set<number>()
  if (text.some(token => token.kind === 'word' && token.word === 'window')) return places
  for (const { from, to } of withParts(text)) {
    for (let place = from; place < to; place++) places.add(place)
  }
  return places
}
