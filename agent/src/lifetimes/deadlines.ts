import type { Expiry, Lifetime } from '../machine/kv/expiry.ts'

interface Deadline extends Expiry {
  readonly at: number
}

/** When each lifetime ends, by the time of whoever counts. */
export class Deadlines {
  readonly #byName = new Map<string, Deadline>()
  /** no deadline is before it */
  #earliest = Number.POSITIVE_INFINITY

  clear(): void {
    this.#byName.clear()
    this.#earliest = Number.POSITIVE_INFINITY
  }

  /** A lifetime began, or began anew, no later than `now`. */
  begin({ lifetimeMs, ...expiry }: Lifetime, now: number): void {
    const at = now + lifetimeMs
    this.#byName.set(nameOf(expiry), { ...expiry, at })
    this.#earliest = Math.min(this.#earliest, at)
  }

  /** All there are. One that is known already keeps its deadline, any other has its whole lifetime ahead. */
  replace(lifetimes: readonly Lifetime[], now: number): void {
    const known = new Map(this.#byName)
    this.clear()
    for (const lifetime of lifetimes) {
      const before = known.get(nameOf(lifetime))
      this.begin(lifetime, now)
      if (before === undefined || before.index !== lifetime.index) continue
      this.#byName.set(nameOf(lifetime), before)
      this.#earliest = Math.min(this.#earliest, before.at)
    }
  }

  /** Those that have ended, at most `max`. */
  due(now: number, max: number): Expiry[] {
    if (now < this.#earliest) return []
    const due: Expiry[] = []
    let earliest = Number.POSITIVE_INFINITY
    for (const { at, ...expiry } of this.#byName.values()) {
      if (at > now) earliest = Math.min(earliest, at)
      else if (due.length < max) due.push(expiry)
    }
    // They stay until they are forgotten: the next look has to find them.
    this.#earliest = due.length > 0 ? now : earliest
    return due
  }

  /** They were ended, or had been renewed; what began anew since stays. */
  forget(expiries: readonly Expiry[]): void {
    for (const expiry of expiries) {
      const name = nameOf(expiry)
      if (this.#byName.get(name)?.index === expiry.index) this.#byName.delete(name)
    }
  }
}

function nameOf({ what, id }: Expiry): string {
  return `${what} ${Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('latin1')}`
}
