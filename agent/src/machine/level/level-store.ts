import { dirname } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { ByteReader, ByteWriter, DecodeError } from '../../lib/bytes.ts'
import { type Known, readKnown, writeKnown } from '../plug-in/memory-sessions.ts'
import { MachineDamaged } from '../state-machine.ts'
import {
  type Account,
  added,
  bodyOf,
  decodeAccount,
  encodeAccount,
  NO_ENTRIES,
  sameTally,
  stored,
  type Tally,
  taken,
} from './account.ts'
import { decodeRow, encodeRow, type LevelRow, type ListedKey } from './command.ts'
import { checkTables } from './tables.ts'

export type Level = ClassicLevel<Uint8Array, Uint8Array>
type LevelSnapshot = ReturnType<Level['snapshot']>
export type Entry = readonly [key: Uint8Array, value: Uint8Array]

/** First byte of a key. */
const ACCOUNT = Buffer.of(0)
const ROW = 1
const SESSION = 2
const READ_AT_ONCE = 1000
/** A file that others of it name is gone, or one of them points to a place that no file has (EINVAL). */
const MISLED = /no such file|does not exist|missing files|invalid argument/i

export interface KnownEntry {
  readonly key: string
  /** of the entry of the log that was answered */
  readonly index: number
  readonly known: Known
}

/** Opens or makes a LevelDB. @throws MachineDamaged | the error of the surroundings */
export async function openLevel(directory: string, createIfMissing: boolean): Promise<Level> {
  try {
    await checkTables(directory)
    const encodings = { keyEncoding: 'view', valueEncoding: 'view' } as const
    // Uncompressed, so that the check finds its way through the tables.
    const db: Level = new ClassicLevel(directory, { ...encodings, compression: false })
    await db.open({ createIfMissing })
    return db
  } catch (error) {
    throw damageOr(directory, error)
  }
}

/** What LevelDB says of bytes that it did not write, or of a file that is missing: the machine's directory is damaged. */
export function damageOr(directory: string, error: unknown): unknown {
  if (error instanceof DecodeError)
    return new MachineDamaged(dirname(directory), error.message, { cause: error })
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code } = at as { readonly code?: unknown }
    if (code !== 'LEVEL_CORRUPTION' && !MISLED.test(at.message)) continue
    return new MachineDamaged(dirname(directory), at.message, { cause: error })
  }
  return error
}

/** What the log makes of one LevelDB. */
export class LevelStore {
  readonly directory: string
  readonly #db: Level
  readonly #sync: boolean

  /** @param sync whether power loss may take nothing of a batch that was written */
  constructor(db: Level, directory: string, sync: boolean) {
    this.directory = directory
    this.#db = db
    this.#sync = sync
  }

  /** Null in a new one. */
  account(snapshot?: LevelSnapshot): Account | null {
    const body = this.#body(ACCOUNT, snapshot)
    return body === null ? null : this.#checked(() => decodeAccount(body))
  }

  row(key: Uint8Array, snapshot?: LevelSnapshot): LevelRow | null {
    const body = this.#body(rowKey(key), snapshot)
    return body === null ? null : this.#checked(() => decodeRow(body))
  }

  /** The value as it is stored, or undefined. */
  raw(key: Uint8Array): Uint8Array | undefined {
    return this.#checked(() => this.#db.getSync(key))
  }

  async list(
    { prefix, after, limit }: { prefix: Uint8Array; after: Uint8Array; limit: number },
    snapshot: LevelSnapshot,
  ): Promise<ListedKey[]> {
    const [from, behind] = [rowKey(prefix), rowKey(after)]
    const range = Buffer.compare(behind, from) >= 0 ? { gt: behind } : { gte: from }
    const found: ListedKey[] = []
    const iterator = this.#db.iterator({ ...range, lt: Buffer.of(ROW + 1), limit, snapshot })
    try {
      for await (const [key, value] of iterator) {
        if (Buffer.compare(key.subarray(0, from.length), from) !== 0) break
        const row = this.#checked(() => decodeRow(bodyOf(key, value)))
        if (row === null) continue
        const { value: bytes, ...indexes } = row
        found.push({ key: key.slice(1), ...indexes, valueBytes: bytes.length })
      }
    } catch (error) {
      throw damageOr(this.directory, error)
    }
    return found
  }

  /**
   * Reads go through filters and indexes, which `entries` does not look at.
   * @throws MachineDamaged when one of these does not lead to the entry
   */
  requireFound([key, value]: Entry): void {
    const found = this.raw(key)
    if (found !== undefined && Buffer.compare(found, value) === 0) return
    throw new MachineDamaged(dirname(this.directory), 'an entry is not found by its key')
  }

  /**
   * All entries but the account, in the order of their keys, each verified, and at the end all together.
   * @throws MachineDamaged
   */
  async *entries({ tally }: Account, snapshot?: LevelSnapshot): AsyncGenerator<readonly Entry[]> {
    const range = { gt: ACCOUNT, ...(snapshot === undefined ? {} : { snapshot }) }
    const iterator = this.#db.iterator({ ...range, fillCache: false })
    let found: Tally = NO_ENTRIES
    try {
      for (;;) {
        const some = await iterator.nextv(READ_AT_ONCE)
        if (some.length === 0) break
        for (const [key, value] of some) {
          bodyOf(key, value)
          found = added(found, value)
        }
        yield some
      }
      if (!sameTally(found, tally)) {
        throw new DecodeError('its entries are not those that were written')
      }
    } catch (error) {
      throw damageOr(this.directory, error)
    } finally {
      await iterator.close()
    }
  }

  snapshot(): LevelSnapshot {
    return this.#db.snapshot()
  }

  /** All of it, or nothing. @param values null: the key goes */
  async write(values: Iterable<readonly [Uint8Array, Uint8Array | null]>, account: Account | null) {
    const batch = this.#db.batch()
    for (const [key, value] of values) {
      if (value === null) batch.del(key)
      else batch.put(key, value)
    }
    if (account !== null) batch.put(ACCOUNT, stored(ACCOUNT, encodeAccount(account)))
    await batch.write({ sync: this.#sync })
  }

  async close(): Promise<void> {
    await this.#db.close()
  }

  #body(key: Uint8Array, snapshot?: LevelSnapshot): Uint8Array | null {
    return this.#checked(() => {
      const value = this.#db.getSync(key, snapshot === undefined ? {} : { snapshot })
      return value === undefined ? null : bodyOf(key, value)
    })
  }

  #checked<T>(read: () => T): T {
    try {
      return read()
    } catch (error) {
      throw damageOr(this.directory, error)
    }
  }
}

/** Changes of one batch, not yet written, on top of a store. */
export class Changes {
  readonly #store: LevelStore
  readonly #values = new Map<string, readonly [Uint8Array, Uint8Array | null]>()
  tally: Tally

  constructor(store: LevelStore, tally: Tally) {
    this.#store = store
    this.tally = tally
  }

  get values(): Iterable<readonly [Uint8Array, Uint8Array | null]> {
    return this.#values.values()
  }

  row(key: Uint8Array): LevelRow | null {
    const value = this.#raw(rowKey(key))
    return value === null ? null : decodeRow(bodyOf(rowKey(key), value))
  }

  putRow(key: Uint8Array, row: LevelRow): void {
    this.#set(rowKey(key), encodeRow(row))
  }

  deleteRow(key: Uint8Array): void {
    this.#set(rowKey(key), null)
  }

  setSession({ key, index }: Omit<KnownEntry, 'known'>, known: Known | null): void {
    const writer = new ByteWriter().f64(index)
    if (known !== null) writeKnown(writer, known)
    this.#set(sessionKey(key), known === null ? null : writer.view())
  }

  #raw(key: Uint8Array): Uint8Array | null {
    const changed = this.#values.get(nameOf(key))
    return changed === undefined ? (this.#store.raw(key) ?? null) : changed[1]
  }

  #set(key: Uint8Array, body: Uint8Array | null): void {
    const before = this.#raw(key)
    if (before !== null) this.tally = taken(this.tally, before)
    const value = body === null ? null : stored(key, body)
    if (value !== null) this.tally = added(this.tally, value)
    this.#values.set(nameOf(key), [key, value])
  }
}

/** Null: the entry is no answer to a request. @throws DecodeError */
export function knownOf([key, value]: Entry): KnownEntry | null {
  if (key[0] !== SESSION) return null
  const reader = new ByteReader(bodyOf(key, value))
  const index = reader.f64()
  return { key: Buffer.from(key.subarray(1)).toString('latin1'), index, known: readKnown(reader) }
}

function rowKey(key: Uint8Array): Uint8Array {
  return prefixed(ROW, key)
}

function sessionKey(key: string): Uint8Array {
  return prefixed(SESSION, Buffer.from(key, 'latin1'))
}

function prefixed(first: number, rest: Uint8Array): Uint8Array {
  const key = new Uint8Array(1 + rest.length)
  key[0] = first
  key.set(rest, 1)
  return key
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
}
