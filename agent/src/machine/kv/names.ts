import type { Database, Statement } from 'better-sqlite3'
import { beginOf, endOf, Ranged } from './ranged.ts'
import { NAMES_BYTES_MAX, nameBytes } from './tree-limits.ts'

interface Key {
  readonly key: Uint8Array
}

export interface Named {
  readonly keys: readonly Uint8Array[]
  /** of a key below the prefix */
  readonly lastChange: number
}

/** What is below a prefix, by name: a folder costs one step, however much is in it. */
export class Names {
  readonly #all: Ranged<Key>
  readonly #lastChange: Ranged<{ readonly index: number | null }>
  readonly #next: Statement<[Uint8Array], Key>

  constructor(db: Database) {
    this.#all = new Ranged(db, 'SELECT key FROM kv', 'ORDER BY key')
    this.#lastChange = new Ranged(db, 'SELECT max(modify_index) AS "index" FROM kv', '')
    this.#next = db.prepare('SELECT key FROM kv WHERE key >= ? ORDER BY key LIMIT 1')
  }

  /** Keys that begin with `prefix`, each once, cut after the first `separator` behind it. Null: too many for one answer. */
  list(prefix: Uint8Array, separator: Uint8Array): Named | null {
    const keys: Uint8Array[] = []
    let bytes = 0
    const found = separator.length === 0 ? this.#whole(prefix) : this.#cut(prefix, separator)
    for (const key of found) {
      bytes += nameBytes(key)
      if (bytes > NAMES_BYTES_MAX) return null
      keys.push(key)
    }
    return { keys, lastChange: this.#lastChange.get(prefix)?.index ?? 0 }
  }

  *#whole(prefix: Uint8Array): Iterable<Uint8Array> {
    for (const { key } of this.#all.iterate(prefix)) yield key
  }

  *#cut(prefix: Uint8Array, separator: Uint8Array): Iterable<Uint8Array> {
    let from: Uint8Array | null = beginOf(prefix)
    while (from !== null) {
      const key: Uint8Array | undefined = this.#next.get(from)?.key
      if (key === undefined || !startsWith(key, prefix)) return
      const at: number = buffer(key).indexOf(separator, prefix.length)
      const name: Uint8Array = at === -1 ? key : key.subarray(0, at + separator.length)
      yield name
      from = at === -1 ? Buffer.concat([key, Uint8Array.of(0)]) : endOf(name)
    }
  }
}

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return buffer(key.subarray(0, prefix.length)).equals(prefix)
}

function buffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
