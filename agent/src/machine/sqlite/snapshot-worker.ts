import type { Identity } from '../../raft/types.ts'
import { CHANGES_TABLE } from '../kv/change-history.ts'
import type { Beginning } from '../state-machine.ts'
import type { DatabaseThreadData } from './database-thread.ts'
import { SCHEMA_VERSION, UNSEALED_VERSION } from './schema-version.ts'

/** What a file of the own machine must be like. */
export interface OwnFile {
  readonly file: string
  /** What the tables must be: `sqlite_schema` of the own database, as `SCHEMA_SQL` gives it. */
  readonly schema: string
  /** `clients`: beside those there may be any. */
  readonly shape: 'program' | 'clients'
  /** SQLite's; 0 in files of earlier versions */
  readonly applicationId: number
  /** Its pages are those that its seal names; else it must be of a version that had none. */
  readonly sealed: boolean
}

/**
 * `pin` begins a view, `copy` writes it to a file, `release` ends it. The others need no view: `inspect` verifies a
 * file of the own cluster, and `examine` one of any; `adopt` makes what was examined the own. `require-whole` looks
 * at a database for which there are no checksums of its pages.
 */
export type SnapshotRequest =
  | { readonly kind: 'pin' }
  | { readonly kind: 'copy'; readonly to: string }
  | { readonly kind: 'release' }
  | { readonly kind: 'require-whole'; readonly shape: OwnFile['shape'] }
  | ({ readonly kind: 'inspect'; readonly identity: Identity } & OwnFile)
  | ({ readonly kind: 'examine' } & OwnFile)
  | {
      readonly kind: 'adopt'
      readonly file: string
      readonly identity: Identity
      readonly beginning: Beginning
    }

/** The row that commits together with the data. */
export interface StoredAccount {
  readonly clusterId: string
  readonly index: number
  readonly term: number
  readonly configuration: Uint8Array
  readonly chain: Uint8Array
}

export type SnapshotAnswer =
  | { readonly kind: 'done'; readonly account: StoredAccount | null }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }

export interface SnapshotWorkerData extends DatabaseThreadData {
  /** Pages in one step of a copy, and the pause after each, ms: what a copy leaves to the others. */
  readonly stepPages: number
  readonly pauseMs: number
  /** The copy is fsynced whenever it has grown by so much: one large fsync at its end would hold up the log's. */
  readonly syncBytes: number
}

/** Code of an answer: the file's bytes are not those that were written. */
export const DAMAGED = 'DAMAGED'

const schemaSql = (which: string): string =>
  `SELECT coalesce(group_concat(type || ' ' || name || ' ' || coalesce(sql, ''), ';'), '')
  FROM (SELECT type, name, sql FROM sqlite_schema WHERE ${which} ORDER BY type, name)`

/** One text for all that was created in a database, or for all that is the machine's: equal for equal tables. */
export const SCHEMA_SQL = {
  // Databases of earlier versions lack it, and get it when they are opened.
  program: schemaSql(`sql IS NOT '${CHANGES_TABLE}'`),
  clients: schemaSql("tbl_name IN ('_raft', '_sessions')"),
} as const

/**
 * The thread that builds and inspects snapshots; plain CommonJS for the reason given at the checkpoint's.
 *
 * A view is one read transaction of a connection of its own: what the writer commits later is not in it,
 * and the copy, page by page, sees nothing else. `inspect` trusts nothing in the file: neither its shape,
 * nor what its tables would do when they are used, nor its values.
 */
export const SNAPSHOT_WORKER = `'use strict'
const { parentPort, workerData } = require('node:worker_threads')
const fs = require('node:fs')
const Database = require(workerData.driver)
const { file, stepPages, pauseMs, syncBytes } = workerData

const ACCOUNT = 'SELECT cluster_id AS clusterId, applied_index AS "index", applied_term AS term, configuration, chain FROM _raft'
const SCHEMA = ${JSON.stringify(SCHEMA_SQL)}
const sleeper = new Int32Array(new SharedArrayBuffer(4))
let view = null

const table = new Uint32Array(256)
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  table[byte] = crc
}
const crc32c = bytes => {
  let crc = -1
  for (let at = 0; at < bytes.length; at++) crc = (crc >>> 8) ^ table[(crc ^ bytes[at]) & 0xff]
  return ~crc
}

const syncFile = path => {
  const fd = fs.openSync(path, 'r+')
  fs.fsyncSync(fd)
  fs.closeSync(fd)
}
const damaged = problem => Object.assign(new Error(problem), { code: '${DAMAGED}' })
const requireWhole = (db, shape, check = 'quick_check') => {
  const first = db.pragma(check + '(1)', { simple: true })
  if (first !== 'ok') throw damaged(first)
  if (shape === 'clients') return
  for (const { key, value, checksum } of db.prepare('SELECT key, value, checksum FROM kv').iterate()) {
    if ((crc32c(key) ^ crc32c(value)) !== checksum) throw damaged('a value differs from its checksum')
  }
}
const requireShape = (db, { schema, shape, applicationId, sealed }) => {
  const id = db.pragma('application_id', { simple: true })
  // Of the tables that clients make nothing says whose they are.
  const known = id === applicationId || (id === 0 && shape === 'program')
  const same = db.prepare(SCHEMA[shape]).pluck().get() === schema
  if (!known || !same) throw new Error('its tables are not those of this program')
  const version = db.prepare('SELECT schema_version FROM _raft').pluck().get()
  if (!sealed && version !== undefined && version !== ${UNSEALED_VERSION}) throw damaged('its end is missing')
}
const requireOurs = (db, { clusterId }) => {
  const owner = db.prepare('SELECT cluster_id FROM _raft').pluck().get()
  if (owner !== clusterId) throw new Error('belongs to clusterId ' + owner + ', not ' + clusterId)
}
/** One file, without a WAL beside it: it is renamed, and read where nothing can be written. */
const leaveWal = db => {
  const mode = db.pragma('journal_mode = DELETE', { simple: true })
  if (mode !== 'delete') throw new Error('journal_mode is ' + mode)
}
/** Opens a file that may be anything. */
const within = (file, act) => {
  const db = new Database(file, { fileMustExist: true })
  try {
    db.pragma('trusted_schema = OFF')
    return act(db)
  } finally {
    db.close()
  }
}
const write = (file, act) => {
  const account = within(file, db => {
    leaveWal(db)
    db.pragma('synchronous = FULL')
    act(db)
    return db.prepare(ACCOUNT).get()
  })
  syncFile(file)
  return account
}
const actions = {
  pin() {
    view = new Database(file, { readonly: true, fileMustExist: true })
    view.exec('BEGIN')
    return view.prepare(ACCOUNT).get()
  },
  async copy({ to }) {
    fs.rmSync(to, { force: true })
    const pageBytes = view.pragma('page_size', { simple: true })
    let written = 0
    await view.backup(to, {
      progress() {
        written += stepPages * pageBytes
        if (written >= syncBytes) {
          written = 0
          syncFile(to)
        }
        if (pauseMs > 0) Atomics.wait(sleeper, 0, 0, pauseMs)
        return stepPages
      },
    })
    within(to, leaveWal)
    syncFile(to)
    return null
  },
  release() {
    if (view !== null) view.close()
    view = null
    return null
  },
  'require-whole'({ shape }) {
    within(file, db => {
      if (shape === 'program' && db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'kv'").get() === undefined) return
      requireWhole(db, shape, 'integrity_check')
    })
    return null
  },
  inspect(request) {
    const { file, shape, identity } = request
    within(file, db => {
      requireShape(db, request)
      requireOurs(db, identity)
      requireWhole(db, shape)
    })
    return write(file, db =>
      db.prepare('UPDATE _raft SET schema_version = ${SCHEMA_VERSION}, node_id = ?, incarnation = ?').run(identity.nodeId, identity.incarnation),
    )
  },
  examine(request) {
    return within(request.file, db => {
      requireShape(db, request)
      requireWhole(db, request.shape)
      return db.prepare(ACCOUNT).get()
    })
  },
  adopt({ file, identity: { clusterId, nodeId, incarnation }, beginning: { position, configuration } }) {
    return write(file, db =>
      db
        .prepare(
          'UPDATE _raft SET schema_version = ${SCHEMA_VERSION}, cluster_id = ?, node_id = ?, incarnation = ?, applied_index = ?, applied_term = ?, configuration = ?',
        )
        .run(clusterId, nodeId, incarnation, position.index, position.term, configuration),
    )
  },
}
parentPort.on('message', async request => {
  try {
    parentPort.postMessage({ kind: 'done', account: await actions[request.kind](request) })
  } catch (error) {
    parentPort.postMessage({ kind: 'failed', code: String(error.code), message: String(error.message) })
  }
})
`
