import type { DatabaseThreadData } from './database-thread.ts'

/**
 * `copy`: moves what it can into the database, while the writer goes on. `restart`: moves the rest and
 * makes the WAL start over; the writer must hold still. `close`: closes the connection.
 */
export type CheckpointRequest = 'copy' | 'restart' | 'close'

export type CheckpointAnswer =
  /** `complete`: the whole WAL is in the database, both are fsynced, and the WAL has started over. */
  | { readonly kind: 'done'; readonly complete: boolean }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }

export interface CheckpointWorkerData extends DatabaseThreadData {
  /** How long a reader outside this process may hold up a restart before it is put off. */
  readonly busyMs: number
  /** A WAL that outgrew this is cut back to it when it starts over: its space is re-used otherwise. */
  readonly walKeptBytes: number
}

/**
 * The thread with the second connection: whatever waits for an fsync waits there. Plain CommonJS in a
 * string, because a thread that starts from a .ts file runs under some loaders (tap) and not under
 * others (tsx), and this runs the same everywhere, compiled or not.
 *
 * `busy` alone does not say whether the whole WAL was moved, so the frames are compared too.
 * The first commit after a restart writes a new WAL header and fsyncs it: `user_version`, a number that
 * nobody reads, is counted up here so that the writer's event loop does not pay for it.
 */
export const CHECKPOINT_WORKER = `'use strict'
const { parentPort, workerData } = require('node:worker_threads')
const Database = require(workerData.driver)

const db = new Database(workerData.file, { fileMustExist: true, timeout: workerData.busyMs })
db.pragma('synchronous = NORMAL')
db.pragma('wal_autocheckpoint = 0')
db.pragma('journal_size_limit = ' + workerData.walKeptBytes)

const checkpoint = mode => {
  const [row] = db.pragma('wal_checkpoint(' + mode + ')')
  return row.busy === 0 && row.log === row.checkpointed
}
const actions = {
  copy() {
    checkpoint('PASSIVE')
    return false
  },
  restart() {
    if (!checkpoint('RESTART')) return false
    const count = db.pragma('user_version', { simple: true })
    db.pragma('user_version = ' + ((count + 1) % 0x7fffffff))
    return true
  },
  close() {
    db.close()
    return false
  },
}
parentPort.on('message', request => {
  try {
    parentPort.postMessage({ kind: 'done', complete: actions[request]() })
  } catch (error) {
    parentPort.postMessage({ kind: 'failed', code: String(error.code), message: String(error) })
  }
})
`
