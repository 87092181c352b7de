/**
 * A small seeded generator (mulberry32) whose whole state is one 32-bit number, so that it can be
 * part of the core's state: the same seed and the same inputs give the same run. Not for secrets.
 */
export class Prng {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** A seed from which another goes on as this one would. */
  get state(): number {
    return this.#state
  }

  /** A whole number in [0, 2^32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }

  /** A whole number in [from, to). */
  between(from: number, to: number): number {
    return from + Math.floor((this.next() / 0x1_0000_0000) * (to - from))
  }
}
