/** What clients of a counter were told, and whether it can be true. */

/** What a client may conclude from an answer: `refused`, that nothing happened and nothing will. */
type Ending = 'acknowledged' | 'refused' | 'unknown' | 'strange'

/** 0: no answer came. nginx answers 502 and 504 itself when an agent died over a request. */
const UNKNOWN: readonly number[] = [0, 502, 504]
const REFUSED: readonly number[] = [400, 401, 403, 405, 411, 413, 414, 415, 421, 429, 431, 503]

export function endingOf(status: number): Ending {
  if (status === 200) return 'acknowledged'
  if (REFUSED.includes(status)) return 'refused'
  return UNKNOWN.includes(status) ? 'unknown' : 'strange'
}

/** An increment under way; made when it is first sent. */
export interface Begun {
  /** the highest number that anybody had been told by then: its own has to be higher */
  readonly floor: number
}

/** Texts that are kept; each violation is counted. */
const TEXTS_MAX = 12

/**
 * Judges every answer as it comes. An increment gets the count behind it, so that no two have the same
 * number, a later one has a higher one, and nobody is told more than was ever sent.
 */
export class Tally {
  acknowledged = 0
  unknown = 0
  refused = 0
  /** the first of them, in words */
  readonly violations: string[] = []
  violationCount = 0
  /** answers by status; 0 stands for none */
  readonly statuses = new Map<number, number>()
  readonly #told = new Set<number>()
  /** of requests that are repeated until they are answered */
  readonly #byKey = new Map<string, number>()
  #begun = 0
  #highest = 0

  /** Of requests with an Idempotency-Key that were answered. */
  get keys(): ReadonlyMap<string, number> {
    return this.#byKey
  }

  begin(): Begun {
    this.#begun += 1
    return { floor: this.#highest }
  }

  /** An increment ended, for good. @param number what an acknowledgement says the count is */
  end(begun: Begun, status: number, number: number | null): void {
    switch (endingOf(status)) {
      case 'acknowledged':
        this.#acknowledge(begun, number)
        break
      case 'refused':
        this.refused += 1
        break
      case 'strange':
        this.violation(`an increment was answered ${status}`)
        this.unknown += 1
        break
      default:
        this.unknown += 1
    }
  }

  /** As `end` with 200, and remembered under its key. */
  endKey(begun: Begun, key: string, number: number | null): void {
    this.#acknowledge(begun, number)
    if (number !== null) this.#byKey.set(key, number)
  }

  /** A request that was answered before was sent again. */
  repeated(key: string, number: number | null): void {
    const first = this.#byKey.get(key)
    if (first === number) return
    this.violation(`a repeated request was answered ${number}, and at first ${first}`)
  }

  /** A linearizable read that began when `begun` was made. */
  read({ floor }: Begun, number: number | null): void {
    if (number === null) {
      this.violation('a read was answered without a number')
      return
    }
    if (number < floor) {
      this.violation(`a consistent read showed ${number} after somebody was told ${floor}`)
    }
    this.#notBeyond('a consistent read showed', number)
  }

  /** For reads: they begin as an increment does, and count as none. */
  beginRead(): Begun {
    return { floor: this.#highest }
  }

  /** The count in the end, when nothing is under way. */
  settle(count: number): void {
    const { acknowledged, unknown } = this
    if (count < acknowledged) this.violation(`${acknowledged} acknowledged, ${count} counted`)
    if (count > acknowledged + unknown) {
      this.violation(`${count} counted of ${acknowledged} acknowledged and ${unknown} unknown`)
    }
    if (count < this.#highest) this.violation(`${count} counted, and one was told ${this.#highest}`)
  }

  violation(text: string): void {
    this.violationCount += 1
    if (this.violations.length < TEXTS_MAX) this.violations.push(text)
  }

  #acknowledge({ floor }: Begun, number: number | null): void {
    this.acknowledged += 1
    if (number === null) {
      this.violation('an increment was answered without a number')
      return
    }
    if (this.#told.has(number)) this.violation(`two increments were told ${number}`)
    if (number <= floor) {
      this.violation(`an increment was told ${number}, and one that ended before it ${floor}`)
    }
    this.#told.add(number)
    this.#highest = Math.max(this.#highest, number)
    this.#notBeyond('an increment was told', number)
  }

  #notBeyond(who: string, number: number): void {
    const possible = this.#begun - this.refused
    if (number > possible) this.violation(`${who} ${number}, and ${possible} were sent`)
  }
}
