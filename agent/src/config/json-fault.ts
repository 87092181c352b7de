/** Where a text stops being JSON. */
export interface JsonFault {
  /** 1-based */
  readonly line: number
  /** 1-based */
  readonly column: number
  readonly problem: string
}

const STRING = /"(?:[ !#-[\]-\u{10ffff}]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*"/uy
const SCALAR = /true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const SPACE = /[ \t\r\n]*/y

class Found extends Error {}

/**
 * The first fault of a JSON text; null if it has none. `JSON.parse` says no line, in some cases no
 * position at all, and lets a key that is given twice pass.
 */
export function jsonFault(text: string): JsonFault | null {
  const scanner = new Scanner(text)
  try {
    scanner.document()
    return null
  } catch (error) {
    if (!(error instanceof Found)) throw error
    const before = text.slice(0, scanner.offset).split('\n')
    return {
      line: before.length,
      column: (before.at(-1)?.length ?? 0) + 1,
      problem: error.message,
    }
  }
}

class Scanner {
  offset = 0
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  document(): void {
    this.#value()
    if (this.offset < this.#text.length) throw new Found('text after the end of the JSON')
  }

  #value(): void {
    this.#match(SPACE)
    const next = this.#text[this.offset]
    if (next === '{') this.#items('}', new Set())
    else if (next === '[') this.#items(']', null)
    else if (this.#match(next === '"' ? STRING : SCALAR) === null) throw new Found(this.#expected())
    this.#match(SPACE)
  }

  /** @param keys those seen of this object; null for a list */
  #items(close: '}' | ']', keys: Set<string> | null): void {
    this.offset++
    this.#match(SPACE)
    if (this.#take(close)) return
    do {
      if (keys !== null) this.#key(keys)
      this.#value()
    } while (this.#take(','))
    if (!this.#take(close)) throw new Found(`expected , or ${close}`)
  }

  #key(keys: Set<string>): void {
    this.#match(SPACE)
    const start = this.offset
    const text = this.#match(STRING)
    if (text === null) throw new Found('expected a key in double quotes')
    const key = JSON.parse(text) as string
    if (keys.has(key)) {
      this.offset = start
      throw new Found(`the key ${text} is given twice`)
    }
    keys.add(key)
    this.#match(SPACE)
    if (!this.#take(':')) throw new Found('expected :')
  }

  #expected(): string {
    const next = this.#text[this.offset]
    if (next === undefined) return 'the text ends too early'
    return next === '"' ? 'a string without end or with a bad escape' : 'expected a value'
  }

  #take(character: string): boolean {
    if (this.#text[this.offset] !== character) return false
    this.offset++
    return true
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.offset
    const found = pattern.exec(this.#text)
    if (found === null) return null
    this.offset += found[0].length
    return found[0]
  }
}
