import Database from 'better-sqlite3'
import type { Identity } from '../../raft/types.ts'
import { Chain } from '../chain.ts'
import { MachineDamaged } from '../state-machine.ts'
import type { EngineKind } from './engine.ts'
import { SCHEMA_VERSION, UNSEALED_VERSION } from './schema-version.ts'

/** Before it, a checkpoint on a second connection could damage the file (sqlite.org/wal.html#walresetbug). */
const SQLITE_MIN = [3, 51, 3] as const

const CACHE_KIB = 64 * 1024
const MMAP_BYTES = 256 * 1024 * 1024

/** One file: the position commits together with the data, or not at all. Keys are explicit: VACUUM may renumber rowids. */
const CREATE = `
  CREATE TABLE _raft(
    id INTEGER PRIMARY KEY CHECK(id = 0),
    schema_version INTEGER NOT NULL,
    cluster_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    applied_index INTEGER NOT NULL,
    applied_term INTEGER NOT NULL,
    configuration BLOB NOT NULL,
    chain BLOB NOT NULL,
    time_ms INTEGER NOT NULL,
    sessions INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE _sessions(
    key TEXT PRIMARY KEY NOT NULL,
    request_hash BLOB NOT NULL,
    code TEXT,
    value BLOB,
    time_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX _sessions_by_time ON _sessions(time_ms, key);
`

interface Owner {
  readonly clusterId: string
  readonly nodeId: string
  readonly incarnation: string
}

/** Where a database is: in a file that the caller owns, or in memory, there maybe from an image of one. */
export type Place = { readonly file: string } | { readonly file: null; readonly image?: Buffer }

/**
 * Opens the writer's connection, and creates the tables in a new database.
 * @param kind its tables are what the machine needs beside its position and its sessions
 * @throws MachineDamaged, or in words when SQLite is too old, or the file is of another identity, of a newer schema, or not ours at all
 */
export function openDatabase(
  place: Place,
  identity: Identity,
  kind: Pick<EngineKind<never, unknown>, 'tables' | 'applicationId'>,
): Database.Database {
  const { file } = place
  const db = new Database(file ?? place.image ?? ':memory:', { timeout: 1000 })
  try {
    requireSqlite(String(db.prepare('SELECT sqlite_version()').pluck().get()))
    configure(db, file !== null)
    const prepare = db.transaction(() => {
      if (!hasTables(db)) create(db, identity, kind)
      check(db, identity)
    })
    prepare.immediate()
    return db
  } catch (cause) {
    db.close()
    if (file !== null && saysDamage(cause)) throw new MachineDamaged(file, String(cause), { cause })
    throw new Error(`open ${file ?? 'the machine in memory'}: ${String(cause)}`, { cause })
  }
}

/** Whether SQLite met bytes that no database holds. */
export function saysDamage(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' && /^(?:SQLITE_CORRUPT|SQLITE_NOTADB|DAMAGED)/.test(code)
}

/** @throws unless `version` (as in "3.53.2") is at least the one that we need */
export function requireSqlite(version: string): void {
  const parts = version.split('.').map(Number)
  for (const [place, min] of SQLITE_MIN.entries()) {
    const part = parts[place] ?? 0
    if (part > min) return
    if (part < min) throw new Error(`SQLite ${version} is older than ${SQLITE_MIN.join('.')}`)
  }
}

function configure(db: Database.Database, onDisk: boolean): void {
  // A value of 1 KiB fits: on smaller pages it is half of two pages of its own. Only of effect in a new file.
  db.pragma('page_size = 8192')
  const mode = db.pragma('journal_mode = WAL', { simple: true })
  if (onDisk && mode !== 'wal') throw new Error(`journal_mode is ${String(mode)}, not wal`)
  // The log replays what power loss takes, so commits need no fsync of their own; but never OFF,
  // which lets a checkpoint that is cut short corrupt the file.
  db.pragma('synchronous = NORMAL')
  db.pragma('wal_autocheckpoint = 0')
  db.pragma(`cache_size = ${-CACHE_KIB}`)
  db.pragma(`mmap_size = ${MMAP_BYTES}`)
  db.pragma('temp_store = MEMORY')
  // Nobody else writes; were it so, waiting here would stop the whole event loop.
  db.pragma('busy_timeout = 0')
}

function hasTables(db: Database.Database): boolean {
  return db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() !== undefined
}

function create(
  db: Database.Database,
  identity: Identity,
  { tables, applicationId }: Parameters<typeof openDatabase>[2],
): void {
  db.pragma(`application_id = ${applicationId}`)
  db.exec(CREATE)
  db.exec(tables)
  db.prepare("INSERT INTO _raft VALUES(0, ?, ?, ?, ?, 0, 0, x'', ?, 0, 0)").run(
    SCHEMA_VERSION,
    identity.clusterId,
    identity.nodeId,
    identity.incarnation,
    new Chain().bytes(),
  )
}

function check(db: Database.Database, identity: Identity): void {
  db.prepare('UPDATE _raft SET schema_version = ? WHERE schema_version = ?').run(
    SCHEMA_VERSION,
    UNSEALED_VERSION,
  )
  const version = db.prepare('SELECT schema_version FROM _raft').pluck().get()
  if (version !== SCHEMA_VERSION) {
    throw new Error(`schema ${String(version)}, but this program knows ${SCHEMA_VERSION} only`)
  }
  const row = db
    .prepare<[], Owner>('SELECT cluster_id AS clusterId, node_id AS nodeId, incarnation FROM _raft')
    .get()
  if (row === undefined) throw new Error('the position is missing')
  for (const field of ['clusterId', 'nodeId', 'incarnation'] as const) {
    if (row[field] !== identity[field]) {
      throw new Error(`belongs to ${field} ${row[field]}, not ${identity[field]}`)
    }
  }
}
