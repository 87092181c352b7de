import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { lockOwner } from '../../src/os/file-lock.ts'

function directory(test: { teardown(end: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), 'owner-lock-'))
  test.teardown(() => rmSync(path, { recursive: true }))
  return path
}

t.test('one owner at a time, and no file but the lock: a full disk has no room for one', t => {
  const place = directory(t)
  const file = join(place, 'kv.sqlite')
  const lock = lockOwner(file)
  t.strictSame(readdirSync(place), ['kv.sqlite.lock'])
  t.throws(() => lockOwner(file), { message: /kv\.sqlite is in use by another process/ })
  lock.release()
  lockOwner(file).release()
  t.end()
})

t.test('what else is wrong with a lock is not taken for another process', t => {
  const file = join(directory(t), 'kv.sqlite')
  writeFileSync(
    `${file}.lock`,
    'not a database, but as long as the head of one is: a hundred bytes'.padEnd(200),
  )
  t.throws(() => lockOwner(file), {
    message: /kv\.sqlite cannot be locked/,
    cause: { code: 'SQLITE_NOTADB' },
  })
  t.end()
})
