import { Prng } from '../../src/lib/prng.ts'

/** Draws of one concern. Each concern has its own stream, so that a change of one leaves the others alone. */
export class Chance {
  readonly #prng: Prng

  constructor(seed: number, concern: string) {
    let mixed = seed >>> 0
    for (const char of concern) mixed = Math.imul(mixed ^ char.charCodeAt(0), 0x01000193) >>> 0
    this.#prng = new Prng(mixed)
    this.#prng.next()
  }

  /** True in `share` of all cases, 0 to 1. */
  happens(share: number): boolean {
    return this.#prng.next() < share * 0x1_0000_0000
  }

  /** A whole number in [from, to]. */
  within(from: number, to: number): number {
    return this.#prng.between(from, to + 1)
  }

  share(): number {
    return this.#prng.next() / 0x1_0000_0000
  }

  oneOf<T>(values: readonly T[]): T {
    const value = values[this.within(0, values.length - 1)]
    if (value === undefined) throw new RangeError('nothing to choose from')
    return value
  }
}
