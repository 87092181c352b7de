import { assert } from '../../src/lib/assert.ts'
import { type Configuration, decodeConfiguration } from '../../src/raft/configuration.ts'
import type { Persist } from '../../src/raft/effect.ts'
import { entryBytes } from '../../src/raft/log.ts'
import type { Recovered } from '../../src/raft/state.ts'
import {
  type Entry,
  type HardState,
  type LogIndex,
  type LogPosition,
  ORIGIN,
  type TermBorder,
} from '../../src/raft/types.ts'

/** What a node's disk holds: the hard state and the log, changed by whole writes only. */
export class DurableImage {
  hardState: HardState
  /** what the log was compacted up to */
  base = ORIGIN
  /** those behind the base */
  readonly entries: Entry[]

  constructor(hardState: HardState, entries: readonly Entry[]) {
    this.hardState = hardState
    this.entries = [...entries]
  }

  get last(): LogPosition {
    const { index, term } = this.entries.at(-1) ?? this.base
    return { index, term }
  }

  /** A persist without `sync` only waits for the writes before it. */
  write({ sync, hardState, truncateFrom, entries }: Persist): void {
    if (!sync) return
    if (truncateFrom !== null) {
      assert(truncateFrom > this.hardState.commit, 'the log store keeps what is committed')
      this.entries.length = truncateFrom - 1 - this.base.index
    }
    for (const entry of entries) {
      assert(entry.index === this.last.index + 1, 'the log on disk has no gap')
      this.entries.push(entry)
    }
    this.hardState = hardState
  }

  holds({ index, term }: LogPosition): boolean {
    if (index === this.base.index) return this.base.term === term
    return this.entries[index - 1 - this.base.index]?.term === term
  }

  /** Forgets everything up to `base` but its term. */
  compact(base: LogPosition): void {
    assert(this.holds(base), 'the log on disk is compacted at one of its entries')
    this.entries.splice(0, base.index - this.base.index)
    this.base = base
  }

  /** Begins at `base`: what follows is kept if the log holds that very position. */
  reset(base: LogPosition): void {
    if (!this.holds(base)) this.entries.length = 0
    else this.entries.splice(0, base.index - this.base.index)
    this.base = base
    if (this.hardState.commit < base.index)
      this.hardState = { ...this.hardState, commit: base.index }
  }

  /** At least one entry, then up to `bytesMax`. */
  slice(from: LogIndex, upTo: LogIndex, bytesMax = Number.POSITIVE_INFINITY): readonly Entry[] {
    let bytes = 0
    assert(from > this.base.index, 'what was compacted away is not read')
    const entries = this.entries.slice(from - 1 - this.base.index, upTo - this.base.index)
    const end = entries.findIndex((entry, at) => {
      bytes += entryBytes(entry)
      return at > 0 && bytes > bytesMax
    })
    return end === -1 ? entries : entries.slice(0, end)
  }

  /** What a core is started with. */
  recovered(applied: LogPosition, configuration: Configuration): Recovered {
    const borders: TermBorder[] = []
    for (const { index, term } of this.entries) {
      if (borders.at(-1)?.term !== term) borders.push({ first: index, term })
    }
    return {
      hardState: this.hardState,
      base: this.base,
      last: this.last,
      borders,
      applied,
      configuration,
    }
  }
}

/** The newest configuration among these entries; null: none. */
export function lastConfiguration(entries: readonly Entry[]): Configuration | null {
  const entry = entries.findLast(({ kind }) => kind === 'configuration')
  return entry === undefined ? null : decodeConfiguration(entry.payload)
}
