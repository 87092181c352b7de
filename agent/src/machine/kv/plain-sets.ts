import type { Plain } from '../sqlite/engine.ts'
import type { CommittedEntry } from '../state-machine.ts'
import type { ChangeFeed } from './change-feed.ts'
import type { HotRows } from './hot-rows.ts'
import { keyAt, plainKeyLength } from './plain-set.ts'

/** Whether all behind the first `skipped` are plain sets of one key without an idempotency key, or of the cluster's own. */
export function arePlainSets(entries: readonly CommittedEntry[], skipped: number): boolean {
  for (let at = skipped; at < entries.length; at++) {
    const { command, idempotency } = entries[at] as CommittedEntry
    if (command === null) continue
    if (idempotency !== null || plainKeyLength(command) === -1) return false
  }
  return true
}

/** Carries plain sets out in memory: the feed has a copy of each command, and rows on their way point to it. */
export class PlainSets implements Plain {
  readonly #rows: HotRows
  readonly #feed: ChangeFeed

  constructor(rows: HotRows, feed: ChangeFeed) {
    this.#rows = rows
    this.#feed = feed
  }

  execute(command: Uint8Array, index: number): void {
    const at = command.byteOffset + keyAt(0)
    const key = Buffer.from(command.buffer, at, plainKeyLength(command))
    const name = key.toString('latin1')
    const hot = this.#rows.standing(name, key, index)
    this.#rows.put(hot, index, this.#feed.addSet(index, command, hot, name), command.length)
  }
}
