import type { KeptRow } from './row.ts'

/** What is remembered may come to twice this: of one generation, and of the one before it. */
const GENERATION_BYTES = 8 * 1024 * 1024
/** Larger values are read anew: of them that is the smaller part of what they cost. */
const VALUE_BYTES_MAX = 16 * 1024
/** Of a row beside its key and its value, about: measured. */
const OVERHEAD_BYTES = 700

/**
 * Rows as the table has them, which were read a short while ago: to read one again costs no statement, which takes and
 * leaves SQLite's locks where no transaction is open. Whatever changes a row of the table has it forgotten.
 */
export class SeenRows {
  /** by key, one character a byte */
  #young = new Map<string, KeptRow>()
  #old = new Map<string, KeptRow>()
  #youngBytes = 0

  find(name: string): KeptRow | null {
    const young = this.#young.get(name)
    if (young !== undefined) return young
    const old = this.#old.get(name)
    if (old === undefined) return null
    this.add(name, old)
    return old
  }

  add(name: string, row: KeptRow): void {
    const { length } = row.value
    if (length > VALUE_BYTES_MAX) return
    if (this.#youngBytes >= GENERATION_BYTES) {
      this.#old = this.#young
      this.#young = new Map()
      this.#youngBytes = 0
    }
    this.#young.set(name, row)
    this.#youngBytes += name.length + length + OVERHEAD_BYTES
  }

  forget(name: string): void {
    this.#young.delete(name)
    this.#old.delete(name)
  }

  clear(): void {
    this.#young = new Map()
    this.#old = new Map()
    this.#youngBytes = 0
  }
}
