import { z } from 'zod'
import type { KvPair } from '../machine/kv/command.ts'
import { checkKey, PLAIN_KEY } from './key-rules.ts'
import { type Refusal, refuse } from './refusal.ts'

export interface PairLimits {
  readonly keyBytesMax: number
  readonly valueBytesMax: number
  readonly namesMax: number
}

const SHAPE = refuse(400, 'BAD_BODY', 'the body is one JSON object, in UTF-8, of string values')
const LONE_SURROGATE = /\p{Surrogate}/u

/** The body of `POST /key` as the document shows it. Whoever changes `parsePairs` changes this: a test compares the two. */
export function pairsBody({ keyBytesMax, valueBytesMax, namesMax }: PairLimits) {
  const whole = (text: string): boolean => !LONE_SURROGATE.test(text)
  const bytes = (max: number) => (text: string) => Buffer.byteLength(text) <= max
  const name = z.string().min(1).max(keyBytesMax).regex(PLAIN_KEY)
  const value = z.string().max(valueBytesMax)
  return z
    .record(
      name.refine(whole).refine(bytes(keyBytesMax)),
      value.refine(whole).refine(bytes(valueBytesMax)),
    )
    .refine(pairs => Object.keys(pairs).length >= 1 && Object.keys(pairs).length <= namesMax)
    .meta({
      minProperties: 1,
      maxProperties: namesMax,
      description: 'Each name once; lengths are counted in bytes of UTF-8.',
      examples: [{ user1: 'batman' }],
    })
}

/**
 * The pairs of `{"k":"v",…}`, in the order of the text. Its own scanner and not JSON.parse of the whole:
 * that would fold doubled names, build a table of 10⁶ names before it could be counted, and descend
 * into values which can only be refused. Nothing nests here, so a depth limit has nothing to do.
 * A name given twice is refused: which of the two was meant, nobody knows.
 */
export function parsePairs(text: string, limits: PairLimits): readonly KvPair[] | Refusal {
  const scanner = new Scanner(text)
  if (!scanner.take('{')) return SHAPE
  if (scanner.take('}')) return refuse(400, 'BAD_BODY', 'at least one pair')
  const pairs: KvPair[] = []
  const names = new Set<string>()
  do {
    const name = scanner.string()
    const value = scanner.take(':') ? scanner.string() : null
    if (name === null || value === null) return SHAPE
    const pair = { key: Buffer.from(name), value: Buffer.from(value) }
    const refusal =
      checkName(name, names, limits) ??
      checkKey(pair.key, limits.keyBytesMax) ??
      checkValue(pair.value, limits)
    if (refusal !== null) return refusal
    pairs.push(pair)
  } while (scanner.take(','))
  return scanner.take('}') && scanner.atEnd() ? pairs : SHAPE
}

function checkName(name: string, earlier: Set<string>, limits: PairLimits): Refusal | null {
  if (earlier.has(name)) return refuse(400, 'BAD_BODY', 'a name is given twice')
  if (earlier.size === limits.namesMax) {
    return refuse(400, 'BAD_BODY', `a body has at most ${limits.namesMax} names`)
  }
  earlier.add(name)
  return null
}

function checkValue(value: Uint8Array, limits: PairLimits): Refusal | null {
  if (value.length <= limits.valueBytesMax) return null
  return refuse(413, 'VALUE_TOO_LARGE', `a value has at most ${limits.valueBytesMax} bytes`)
}

/** Reads JSON's tokens from left to right; each method skips white space first. */
class Scanner {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  take(token: string): boolean {
    this.#skipSpace()
    if (this.#text[this.#at] !== token) return false
    this.#at++
    return true
  }

  atEnd(): boolean {
    this.#skipSpace()
    return this.#at === this.#text.length
  }

  /** Null when there is no well-formed string here. */
  string(): string | null {
    if (!this.take('"')) return null
    const end = this.#closingQuote()
    if (end === -1) return null
    const literal = this.#text.slice(this.#at - 1, end + 1)
    this.#at = end + 1
    const value = parseLiteral(literal)
    // Only an escape can name half a character: the text itself came from valid UTF-8.
    if (value !== null && literal.includes('\\') && LONE_SURROGATE.test(value)) return null
    return value
  }

  /** The next quote with an even number of backslashes before it; -1 if there is none. */
  #closingQuote(): number {
    let from = this.#at
    for (;;) {
      const quote = this.#text.indexOf('"', from)
      if (quote === -1) return -1
      let slashes = 0
      while (quote - slashes > from && this.#text[quote - slashes - 1] === '\\') slashes++
      if (slashes % 2 === 0) return quote
      from = quote + 1
    }
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }
}

function parseLiteral(literal: string): string | null {
  try {
    return JSON.parse(literal) as string
  } catch {
    return null // a control character or an unknown escape
  }
}
