import fs from 'node:fs'
import { dirname } from 'node:path'
import { syncDirectoryNow, syncFileNow } from '../../os/durable-file.ts'

/** Where a replacement may be interrupted, for tests. */
export type ReplaceStep = 'wal removed' | 'replaced' | 'durable'

/**
 * Puts another database in the place of `file`, which nobody has open. The old WAL goes first and
 * durably: found beside the new file it would be taken for its own. `by` is gone afterwards. Synchronous,
 * so that no query can come between.
 * @param by complete and fsynced
 */
export function replaceDatabase(file: string, by: string, at: (step: ReplaceStep) => void): void {
  const staged = onOneFileSystem(file, by)
  fs.rmSync(`${file}-wal`, { force: true })
  fs.rmSync(`${file}-shm`, { force: true })
  syncDirectoryNow(dirname(file))
  at('wal removed')
  fs.renameSync(staged, file)
  at('replaced')
  syncDirectoryNow(dirname(file))
  if (staged !== by) fs.rmSync(by, { force: true })
  at('durable')
}

/** A path of the same content from which a rename to `file` is possible. */
function onOneFileSystem(file: string, by: string): string {
  if (fs.statSync(dirname(file)).dev === fs.statSync(by).dev) return by
  const copy = `${file}.new`
  fs.copyFileSync(by, copy)
  syncFileNow(copy)
  return copy
}
