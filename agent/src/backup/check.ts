import { open, readFile } from 'node:fs/promises'
import Database from 'better-sqlite3'
import { decodeImage } from '../machine/plug-in/image.ts'

/** What a backup holds. */
export interface Contents {
  /** `other`: of a machine that keeps files of its own, which only that one can verify */
  readonly kind: 'sqlite' | 'image' | 'other'
  readonly clusterId: string | null
  /** of the last entry in it */
  readonly index: number | null
}

const SQLITE_HEAD = 'SQLite format 3\0'
const IMAGE_HEAD = 'RNMI'

/**
 * Reads all of a backup; changes nothing.
 * @throws Error in words when it is damaged
 */
export async function checkBackup(file: string): Promise<Contents> {
  const head = await headOf(file)
  if (head.startsWith(SQLITE_HEAD)) return checkDatabase(file)
  if (!head.startsWith(IMAGE_HEAD)) return { kind: 'other', clusterId: null, index: null }
  const { identity, position } = decodeImage(await readFile(file))
  return { kind: 'image', clusterId: identity.clusterId, index: position.index }
}

function checkDatabase(file: string): Contents {
  const db = new Database(file, { readonly: true, fileMustExist: true })
  try {
    db.pragma('trusted_schema = OFF')
    const verdict = String(db.pragma('integrity_check(1)', { simple: true }))
    if (verdict !== 'ok') throw new Error(verdict)
    const row = db
      .prepare<[], { clusterId: string; index: number }>(
        'SELECT cluster_id AS clusterId, applied_index AS "index" FROM _raft',
      )
      .get()
    if (row === undefined) throw new Error('it does not say how far it is')
    return { kind: 'sqlite', ...row }
  } finally {
    db.close()
  }
}

async function headOf(path: string): Promise<string> {
  const file = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(16), 0, 16, 0)
    return buffer.toString('latin1', 0, bytesRead)
  } finally {
    await file.close()
  }
}
