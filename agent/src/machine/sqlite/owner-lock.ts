import Database from 'better-sqlite3'

/**
 * Makes this machine the only owner of `file` until `close()`, in this process and among all. The lock
 * is an exclusive transaction on an empty database beside it: the operating system drops it with the
 * process, however that dies, so nothing stale can be left behind. The file itself stays open to
 * readers (an operator's sqlite3).
 * @throws when another machine owns the file, or its lock cannot be had
 */
export function lockOwner(file: string): Database.Database {
  const lock = new Database(`${file}.lock`, { timeout: 0 })
  try {
    // A journal would be one more file, for which a full disk has no room.
    lock.pragma('journal_mode = MEMORY')
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch (cause) {
    lock.close()
    const isTaken = cause instanceof Database.SqliteError && cause.code.startsWith('SQLITE_BUSY')
    const why = isTaken ? 'is in use by another process' : 'cannot be locked'
    throw new Error(`${file} ${why}`, { cause })
  }
}
