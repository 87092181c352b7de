import Database from 'better-sqlite3'

/**
 * Makes this machine the only owner of `file` until `close()`, in this process and among all. The lock
 * is an exclusive transaction on an empty database beside it: the operating system drops it with the
 * process, however that dies, so nothing stale can be left behind. The file itself stays open to
 * readers (an operator's sqlite3).
 * @throws when another machine owns the file
 */
export function lockOwner(file: string): Database.Database {
  const lock = new Database(`${file}.lock`, { timeout: 0 })
  try {
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch (cause) {
    lock.close()
    throw new Error(`${file} is in use by another process`, { cause })
  }
}
