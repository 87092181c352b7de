import type { Database, Statement } from 'better-sqlite3'
import { checksumOf, type KvRow, type Standing } from './row.ts'
import type { SeenRows } from './seen-rows.ts'

/** What a plain write says of a row beside its key and its value. */
interface Put extends Pick<KvRow, 'createIndex' | 'modifyIndex'> {
  /** the key, one character a byte */
  readonly name: string
}

/** How a plain write reaches the table of keys: the value is replaced, a lock stays, flags and lifetime go. */
export class PlainRows {
  readonly #put: Statement<[Uint8Array, Uint8Array, number, number, number]>
  readonly #standing: Statement<[Uint8Array], Standing>
  readonly #seen: SeenRows

  constructor(db: Database, seen: SeenRows) {
    this.#seen = seen
    this.#put = db.prepare(
      `INSERT INTO kv(key, value, create_index, modify_index, checksum) VALUES(?, ?, ?, ?, ?)
       ON CONFLICT(key) DO UPDATE SET value = excluded.value, modify_index = excluded.modify_index,
         checksum = excluded.checksum, flags = '0', ttl_ms = 0, content_type = ''`,
    )
    this.#standing = db.prepare(
      'SELECT create_index AS createIndex, lock_index AS lockIndex, session FROM kv WHERE key = ?',
    )
  }

  /** `createIndex` counts only where there is no such key */
  put(key: Uint8Array, value: Uint8Array, { name, createIndex, modifyIndex }: Put): void {
    this.#seen.forget(name)
    this.#put.run(key, value, createIndex, modifyIndex, checksumOf(key, value))
  }

  /** What a plain write leaves as it is; undefined: there is no such key. */
  standing(key: Uint8Array): Standing | undefined {
    return this.#standing.get(key)
  }
}
