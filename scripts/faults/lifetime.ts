import type { Owner } from '../../agent/test/cluster/harness.ts'

/** Of a run outside of tests: what was begun is ended, the latest first. */
export class Lifetime implements Owner {
  #ends: (() => unknown)[] = []

  teardown(end: () => unknown): void {
    this.#ends.push(end)
  }

  /** All of them, whatever one throws. */
  async end(): Promise<void> {
    const ends = this.#ends.reverse()
    this.#ends = []
    for (const end of ends) {
      try {
        await end()
      } catch (error) {
        process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
      }
    }
  }
}
