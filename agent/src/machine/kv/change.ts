import type { Lifetime } from './expiry.ts'
import { isReserved } from './reserved.ts'
import type { KvRow } from './row.ts'

/** One key's new state, as an entry made it. Views of the log's own bytes: not to be modified. */
export interface Change {
  readonly key: Uint8Array
  /** null: the key is gone */
  readonly value: Uint8Array | null
  readonly flags: bigint
  /** all of the key as of this entry; null: it is gone, or who made the change does not tell */
  readonly row: KvRow | null
}

/** What one entry really changed: a refused comparison changes nothing. */
export interface EntryChanges {
  readonly index: number
  /** in the order in which they were made */
  readonly changes: readonly Change[]
  /** a session was made or ended */
  readonly sessions: boolean
  /** what began or renewed its lifetime */
  readonly lifetimes: readonly Lifetime[]
}

/** What somebody wants to hear of. `sessions`: that one was made or ended. */
export type Interest =
  | { readonly kind: 'key' | 'prefix'; readonly bytes: Uint8Array }
  | { readonly kind: 'sessions' }

/** Collects the changes of one entry while it is carried out. */
export class ChangeRecorder {
  #changes: Change[] = []
  #sessions = false
  #lifetimes: Lifetime[] = []
  #reserved = false

  set(key: Uint8Array, row: KvRow): void {
    if (this.#isReserved(key)) return
    const { value, flags } = row
    this.#changes.push({ key, value, flags, row })
  }

  delete(key: Uint8Array): void {
    if (this.#isReserved(key)) return
    this.#changes.push({ key, value: null, flags: 0n, row: null })
  }

  session(): void {
    this.#sessions = true
  }

  lives(lifetime: Lifetime): void {
    this.#lifetimes.push(lifetime)
  }

  /** Drops what was collected: the entry was refused. */
  clear(): void {
    this.#changes = []
    this.#sessions = false
    this.#lifetimes = []
  }

  /** Whether a reserved key may have changed since this was asked last: nobody who follows keys is told of them. */
  takeReserved(): boolean {
    const taken = this.#reserved
    this.#reserved = false
    return taken
  }

  #isReserved(key: Uint8Array): boolean {
    const reserved = isReserved(key)
    if (reserved) this.#reserved = true
    return reserved
  }

  /** Hands over what was collected, null if nothing, and starts anew. */
  take(index: number): EntryChanges | null {
    if (this.#changes.length === 0 && !this.#sessions && this.#lifetimes.length === 0) return null
    const taken = {
      index,
      changes: this.#changes,
      sessions: this.#sessions,
      lifetimes: this.#lifetimes,
    }
    this.clear()
    return taken
  }
}
