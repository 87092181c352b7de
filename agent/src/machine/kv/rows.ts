import type { Database, Statement } from 'better-sqlite3'
import { assert } from '../../lib/assert.ts'
import { MachineDamaged } from '../state-machine.ts'
import { HotRows } from './hot-rows.ts'
import { Names } from './names.ts'
import { PlainRows } from './plain-rows.ts'
import { Ranged } from './ranged.ts'
import { isReserved, RESERVED_END } from './reserved.ts'
import { checksumOf, type KeptRow, type KvRow, latin1 } from './row.ts'
import { SeenRows } from './seen-rows.ts'
import { Tombstones } from './tombstones.ts'
import { ROWS_BYTES_MAX, rowBytes, TREE_KEYS_MAX } from './tree-limits.ts'

type Found = Omit<KeptRow, 'flags'> & { readonly flags: string; readonly checksum: number }

const COLUMNS = `key, value, create_index AS createIndex, modify_index AS modifyIndex, checksum, flags,
  lock_index AS lockIndex, session, ttl_ms AS ttlMs, content_type AS contentType`

/** The table of keys: one statement for each way in which it is used. */
export class Rows {
  readonly tombstones: Tombstones
  readonly names: Names
  readonly hot: HotRows
  readonly #seen = new SeenRows()
  readonly #file: string
  readonly #get: Statement<[Uint8Array], Found>
  readonly #put: Statement<
    [Uint8Array, Uint8Array, number, number, number, string, number, string, number, string]
  >
  readonly #plain: PlainRows
  readonly #delete: Statement<[Uint8Array]>
  readonly #held: Statement<[string], Found>
  readonly #list: Ranged<Found>
  readonly #keys: Ranged<{ readonly key: Uint8Array }>
  readonly #deleteTree: Ranged<{ readonly key: Uint8Array }>
  readonly #behind: Statement<[Uint8Array], Found>

  constructor(db: Database) {
    this.tombstones = new Tombstones(db)
    this.#plain = new PlainRows(db, this.#seen)
    this.hot = new HotRows(this.#plain)
    this.#file = db.name
    this.#get = db.prepare(`SELECT ${COLUMNS} FROM kv WHERE key = ?`)
    this.#put = db.prepare('INSERT OR REPLACE INTO kv VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
    this.#delete = db.prepare('DELETE FROM kv WHERE key = ?')
    this.#held = db.prepare(
      `SELECT ${COLUMNS} FROM kv WHERE session = ? AND session <> '' ORDER BY key`,
    )
    this.#list = new Ranged(db, `SELECT ${COLUMNS} FROM kv`, 'ORDER BY key')
    this.#keys = new Ranged(db, 'SELECT key FROM kv', 'ORDER BY key')
    this.names = new Names(db)
    this.#behind = db.prepare(`SELECT ${COLUMNS} FROM kv WHERE key > ? ORDER BY key`)
    this.#deleteTree = new Ranged(db, 'DELETE FROM kv', 'RETURNING key')
  }

  /** @throws MachineDamaged */
  get(key: Uint8Array): KeptRow | null {
    const waiting = this.hot.waiting === 0 ? null : this.hot.find(key, latin1(key))
    return waiting ?? this.#read(key)
  }

  /**
   * The same for whoever looks from outside; most look at what was looked at before. Not for commands: what one of them
   * has changed may be taken back.
   */
  look(key: Uint8Array): KeptRow | null {
    const name = latin1(key)
    const known = this.hot.find(key, name) ?? this.#seen.find(name)
    if (known !== null) return known
    const row = this.#read(key)
    if (row !== null) this.#seen.add(name, row)
    return row
  }

  /** All that was not committed is lost. */
  lost(): void {
    this.hot.clear()
    this.#seen.clear()
  }

  /** Replaces all of the row. */
  put(row: KeptRow): void {
    const { key, value, createIndex, modifyIndex, flags, lockIndex, session } = row
    this.#forget(key)
    this.#put.run(
      key,
      value,
      createIndex,
      modifyIndex,
      checksumOf(key, value),
      String(flags),
      lockIndex,
      session,
      row.ttlMs,
      row.contentType,
    )
  }

  /** As a `put` of the value alone, whatever was there; a lock on it stays. @returns the row that this makes */
  putPlain(key: Uint8Array, value: Uint8Array, index: number): KvRow {
    this.hot.forget(key)
    const indexes = { createIndex: index, modifyIndex: index }
    this.#plain.put(key, value, { name: latin1(key), ...indexes })
    const standing = this.#plain.standing(key)
    assert(standing !== undefined, 'a key that was put is there')
    return { ...standing, value, modifyIndex: index, flags: 0n, contentType: '' }
  }

  /** @returns whether there was one */
  delete(key: Uint8Array, index: number): boolean {
    this.#forget(key)
    if (this.#delete.run(key).changes === 0) return false
    if (!isReserved(key)) this.tombstones.add({ kind: 'key', bytes: key }, index)
    return true
  }

  /** Everything that begins with `prefix`; returns the keys, in order. Null: there are too many, and nothing is deleted. */
  deleteTree(prefix: Uint8Array, index: number): Uint8Array[] | null {
    let count = 0
    for (const _ of this.#keys.iterate(prefix)) if (++count > TREE_KEYS_MAX) return null
    const keys = this.#deleteTree.all(prefix).map(({ key }) => key)
    // What is remembered is in the table, or waits: so these are all that begin so.
    for (const key of keys) this.#forget(key)
    if (keys.length > 0) this.tombstones.add({ kind: 'prefix', bytes: prefix }, index)
    return keys.sort(Buffer.compare)
  }

  /** What a session holds. */
  heldBy(session: string): KeptRow[] {
    return this.#held.all(session).map(found => this.#checked(found))
  }

  /** Everything that begins with `prefix`; null: they are too large for one answer. */
  list(prefix: Uint8Array): KeptRow[] | null {
    const rows: KeptRow[] = []
    let bytes = 0
    for (const found of this.#list.iterate(prefix)) {
      bytes += rowBytes(found)
      if (bytes > ROWS_BYTES_MAX) return null
      rows.push(this.#checked(found))
    }
    return rows
  }

  /** The next rows behind `after`, at least one if there are any; null: from the first. */
  page(after: Uint8Array | null, bytesMax: number): KeptRow[] {
    const rows: KeptRow[] = []
    let bytes = 0
    for (const found of this.#behind.iterate(after ?? RESERVED_END)) {
      rows.push(this.#checked(found))
      bytes += found.key.length + found.value.length
      if (bytes >= bytesMax) break
    }
    return rows
  }

  #read(key: Uint8Array): KeptRow | null {
    const found = this.#get.get(key)
    return found === undefined ? null : this.#checked(found)
  }

  /** It is changed in the table. */
  #forget(key: Uint8Array): void {
    this.hot.forget(key)
    this.#seen.forget(latin1(key))
  }

  #checked(found: Found): KeptRow {
    const { key, value, createIndex, modifyIndex, lockIndex, session, ttlMs, contentType } = found
    if (found.checksum !== checksumOf(key, value)) {
      throw new MachineDamaged(this.#file, 'a value differs from its checksum')
    }
    const flags = BigInt(found.flags)
    return { key, value, createIndex, modifyIndex, lockIndex, session, ttlMs, contentType, flags }
  }
}
