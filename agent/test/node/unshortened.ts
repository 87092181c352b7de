import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SnapshotStore } from '../../src/log/snapshot-store.ts'
import type { SnapshotOptions } from '../../src/node/node-options.ts'

/** For nodes whose log keeps everything; what they put on disk goes with the process. */
export function unshortened(): SnapshotOptions {
  const directory = mkdtempSync(join(tmpdir(), 'snapshots-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const store = new SnapshotStore({ directory, retain: 2 })
  return { store, enabled: false, intervalMs: 1000, threshold: 1, trailing: 0 }
}
