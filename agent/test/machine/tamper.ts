import { rmSync } from 'node:fs'
import Database from 'better-sqlite3'
import { sealFile } from '../../src/machine/sqlite/sums/seal.ts'

/** Changes a closed database, and takes its checksums away: it is then one of an earlier version. */
export function tamper(file: string, sql: string): void {
  new Database(file).exec(sql).close()
  rmSync(`${file}.sums`, { force: true })
}

/** Changes a snapshot, and seals it: what it says of itself is then true. */
export async function tamperSealed(file: string, sql: string): Promise<void> {
  new Database(file).exec(sql).close()
  await sealFile(file)
}
