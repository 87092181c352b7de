import { ByteReader, ByteWriter } from '../../lib/bytes.ts'
import type { EntryChanges } from './change.ts'
import { readEntry, writeEntry, writeSet } from './change-codec.ts'
import type { Standing } from './row.ts'

/** Room in a part, bytes: some hundreds of small changes. An entry that needs more has a part of its own. */
const PART_BYTES = 64 * 1024

/**
 * Consecutive entries of the feed, encoded in one piece of memory: as objects they would be a dozen each, outlive
 * two collections and be marked by all the larger ones. Bytes that were written never change, so that views stay.
 */
export class ChangePart {
  readonly bytes: Buffer
  readonly #writer: ByteWriter
  /** of each entry: its index, the end of its bytes, and what it counts for */
  readonly #indexes: number[] = []
  readonly #ends: number[] = []
  readonly #costs: number[] = []
  /** places of those that have lifetimes */
  readonly #mortal: number[] = []
  #first = 0
  /** by place, as far as they were read */
  #decoded: (EntryChanges | undefined)[] = []

  constructor(bytes: number) {
    this.#writer = new ByteWriter(Math.max(PART_BYTES, bytes))
    this.bytes = Buffer.from(this.#writer.view().buffer)
  }

  /** Place of the oldest entry that is kept, from 0. */
  get first(): number {
    return this.#first
  }

  /** Place behind the last entry. */
  get end(): number {
    return this.#indexes.length
  }

  get lastIndex(): number {
    return this.#indexes.at(-1) ?? 0
  }

  /** Bytes that were written. */
  get length(): number {
    return this.#writer.length
  }

  hasRoom(bytes: number): boolean {
    return this.#writer.length + bytes <= this.bytes.length
  }

  indexAt(place: number): number {
    return this.#indexes[place] ?? Number.POSITIVE_INFINITY
  }

  costAt(place: number): number {
    return this.#costs[place] ?? 0
  }

  /** Where the bytes of an entry begin. */
  beginOf(place: number): number {
    return place === 0 ? 0 : (this.#ends[place - 1] ?? this.length)
  }

  add(entry: EntryChanges, cost: number): void {
    if (entry.lifetimes.length > 0) this.#mortal.push(this.end)
    writeEntry(this.#writer, entry)
    this.#note(entry.index, cost)
  }

  /** A plain `set` of one key: the bytes end with its command. */
  addSet(index: number, command: Uint8Array, standing: Standing, cost: number): void {
    writeSet(this.#writer, index, command, standing)
    this.#note(index, cost)
  }

  /** Drops the oldest. @returns what it counted for */
  drop(): number {
    const cost = this.costAt(this.#first)
    this.#decoded[this.#first] = undefined
    this.#first += 1
    return cost
  }

  /** Place of the first kept entry behind `index`. */
  placeBehind(index: number): number {
    let low = this.#first
    let high = this.end
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.indexAt(middle) > index) high = middle
      else low = middle + 1
    }
    return low
  }

  /** Whoever reads it again gets the same object, until it is forgotten. */
  read(place: number): EntryChanges {
    const known = this.#decoded[place]
    if (known !== undefined) return known
    const entry = readEntry(new ByteReader(this.bytes, this.beginOf(place)))
    this.#decoded[place] = entry
    return entry
  }

  /** Those behind `index` that have lifetimes. */
  mortalBehind(index: number): EntryChanges[] {
    const from = this.placeBehind(index)
    return this.#mortal.filter(place => place >= from).map(place => this.read(place))
  }

  /** Lets go of what was decoded. */
  forget(): void {
    this.#decoded = []
  }

  #note(index: number, cost: number): void {
    this.#indexes.push(index)
    this.#ends.push(this.length)
    this.#costs.push(cost)
  }
}
