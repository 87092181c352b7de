import Database from 'better-sqlite3'

export interface FileLock {
  release(): void
}

/**
 * Takes SQLite's exclusive lock on an empty file, and so the kernel's record lock under it, which Node
 * itself cannot take. The kernel drops it with the process, however that ends: nothing stale to judge,
 * as with a process id, which containers re-use (each is 1). It belongs to the inode, so that two
 * containers on one volume see it; a socket's name in the abstract namespace would not show there.
 * Within one process SQLite keeps count itself. Nobody else may open the file: closing it would drop the lock.
 * @returns null if somebody holds it
 */
export function lockFile(path: string): FileLock | null {
  const database = new Database(path, { timeout: 0 })
  try {
    // A journal would be one more file, for which a full disk has no room.
    database.pragma('journal_mode = MEMORY')
    database.exec('BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    if (cause instanceof Database.SqliteError && cause.code.startsWith('SQLITE_BUSY')) return null
    throw cause
  }
  return { release: () => void database.close() }
}

/**
 * Makes the caller the only owner of `file` until `release()`, in this process and among all, by a lock beside it.
 * The file itself stays open to readers (an operator's sqlite3).
 * @throws when another owns the file, or its lock cannot be had
 */
export function lockOwner(file: string): FileLock {
  let lock: FileLock | null
  try {
    lock = lockFile(`${file}.lock`)
  } catch (cause) {
    throw new Error(`${file} cannot be locked`, { cause })
  }
  if (lock === null) throw new Error(`${file} is in use by another process`)
  return lock
}
