import type { DatabaseThreadData } from './database-thread.ts'

/**
 * `pin`: the next `copy` goes no further than what is committed now. `copy`: moves what it can into the
 * database, while the writer goes on. `restart`: moves the rest and makes the WAL start over; the writer must
 * hold still. `close`: closes the connection.
 */
export type CheckpointRequest = 'pin' | 'copy' | 'restart' | 'close'

export type CheckpointAnswer =
  /**
   * `complete`: the whole WAL is in the database, both are fsynced, and the WAL has started over. `frames`:
   * so many it had.
   */
  | { readonly kind: 'done'; readonly complete: boolean; readonly frames: number }
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

// A reader: no checkpoint goes beyond what the oldest of them sees.
const reader = new Database(workerData.file, { readonly: true, fileMustExist: true })
const unpin = () => {
  if (reader.inTransaction) reader.exec('COMMIT')
}
const checkpoint = mode => {
  const [row] = db.pragma('wal_checkpoint(' + mode + ')')
  return { complete: row.busy === 0 && row.log === row.checkpointed, frames: row.log }
}
const actions = {
  pin() {
    unpin()
    reader.exec('BEGIN')
    reader.prepare('SELECT 1 FROM _raft').get()
    return { complete: false, frames: 0 }
  },
  copy() {
    const { frames } = checkpoint('PASSIVE')
    unpin()
    return { complete: false, frames }
  },
  restart() {
    unpin()
    const done = checkpoint('RESTART')
    if (!done.complete) return done
    const count = db.pragma('user_version', { simple: true })
    db.pragma('user_version = ' + ((count + 1) % 0x7fffffff))
    return done
  },
  close() {
    reader.close()
    db.close()
    return { complete: false, frames: 0 }
  },
}
parentPort.on('message', request => {
  try {
    parentPort.postMessage({ kind: 'done', ...actions[request]() })
  } catch (error) {
    parentPort.postMessage({ kind: 'failed', code: String(error.code), message: String(error) })
  }
})
`
