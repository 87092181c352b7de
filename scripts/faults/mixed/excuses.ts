/** Whose agents may end by themselves: those to whom something is done that they cannot outlive, and a little longer. */

/** What met a disk's fault at its very end stops a little later, as a copy of a database does, ms. */
const LATE_MS = 5_000
/** Why such an agent says that it stops. */
const OF_A_DISK = /\b(?:ENOSPC|EIO|EROFS)\b|disk is full|i\/o error/i

export class Excuses {
  readonly #now: () => number
  /** for how many reasons, by id */
  readonly #open = new Map<string, number>()
  /** until when a disk is a reason still, by id */
  readonly #late = new Map<string, number>()

  /** @param now ms, monotonic */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Whatever it says, until what is returned is called; then, for a while, only if it names its disk. */
  allow(id: string): () => void {
    this.#open.set(id, (this.#open.get(id) ?? 0) + 1)
    return () => {
      this.#open.set(id, (this.#open.get(id) ?? 1) - 1)
      this.#late.set(id, this.#now() + LATE_MS)
    }
  }

  /** @param reason the last that it said */
  cover(id: string, reason: string): boolean {
    if ((this.#open.get(id) ?? 0) > 0) return true
    return this.#now() < (this.#late.get(id) ?? 0) && OF_A_DISK.test(reason)
  }
}
