import type { Database, Statement } from 'better-sqlite3'
import { FIRST_KEY } from './reserved.ts'

/** A statement over the keys that begin with a prefix, as a range of the primary key; the empty one has no reserved keys. */
export class Ranged<Row> {
  readonly #below: Statement<[Uint8Array, Uint8Array], Row>
  /** for a prefix with nothing above it: the empty one, and one of 0xff only */
  readonly #open: Statement<[Uint8Array], Row>

  constructor(db: Database, head: string, tail: string) {
    this.#below = db.prepare(`${head} WHERE key >= ? AND key < ? ${tail}`)
    this.#open = db.prepare(`${head} WHERE key >= ? ${tail}`)
  }

  all(prefix: Uint8Array): Row[] {
    const end = endOf(prefix)
    return end === null ? this.#open.all(beginOf(prefix)) : this.#below.all(prefix, end)
  }

  get(prefix: Uint8Array): Row | undefined {
    const end = endOf(prefix)
    return end === null ? this.#open.get(beginOf(prefix)) : this.#below.get(prefix, end)
  }

  iterate(prefix: Uint8Array): IterableIterator<Row> {
    const end = endOf(prefix)
    return end === null ? this.#open.iterate(beginOf(prefix)) : this.#below.iterate(prefix, end)
  }
}

/** The first key that may begin with `prefix`. */
export function beginOf(prefix: Uint8Array): Uint8Array {
  return prefix.length === 0 ? FIRST_KEY : prefix
}

/** The first key behind all that begin with `prefix`; null: none is. */
export function endOf(prefix: Uint8Array): Uint8Array | null {
  for (let at = prefix.length - 1; at >= 0; at--) {
    const byte = prefix[at] as number
    if (byte === 0xff) continue
    const end = Uint8Array.from(prefix.subarray(0, at + 1))
    end[at] = byte + 1
    return end
  }
  return null
}
