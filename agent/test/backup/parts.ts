import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, readConfig } from '../../src/config.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import type { Former, StateMachine } from '../../src/machine/state-machine.ts'
import { entry, IDENTITY } from '../machine/entries.ts'
import { setText } from '../machine/kv-subject.ts'

/** What the backup of `keysBackup` holds up to. */
export const BACKUP_INDEX = 25
export const BACKUP_TERM = 4

export function configOf(file: string): Config {
  const result = readConfig({ file, env: {}, overrides: {} })
  if (result.kind === 'faults') throw new Error(result.faults.join('\n'))
  return result.config
}

/** A configuration of node0 of three, whose data is to lie in `data` beside it. */
export function writeConfig(directory: string, settings: object = {}): string {
  const file = join(directory, 'agent.json')
  const nodes = [0, 1, 2].map(at => ({
    id: `node${at}`,
    address: `127.0.0.1:${8185 + at * 100}`,
    raft_bind: `127.0.0.1:${8186 + at * 100}`,
  }))
  const all = { cluster_name: 'heir', node_id: 'node0', nodes, raft_dir: 'data', ...settings }
  writeFileSync(file, JSON.stringify(all))
  return file
}

/** Of `cluster-1`: keys k1 to k25. */
export async function keysBackup(directory: string): Promise<string> {
  const machine = new KvMachine({ file: null })
  machine.open(IDENTITY)
  const entries = Array.from({ length: BACKUP_INDEX }, (_, at) =>
    entry(at + 1, at + 1 === BACKUP_INDEX ? BACKUP_TERM : 1, setText(`k${at + 1}`, `v${at + 1}`)),
  )
  await machine.apply(entries, new Uint8Array(0))
  return backupOf(machine, join(directory, 'backup.sqlite'))
}

export async function backupOf(
  machine: Pick<StateMachine<never, unknown>, 'snapshot' | 'close'>,
  file: string,
): Promise<string> {
  const view = await machine.snapshot()
  await view.writeTo(file)
  view.release()
  await machine.close()
  return file
}

export const FORMER = {
  clusterId: IDENTITY.clusterId,
  applied: { index: BACKUP_INDEX, term: BACKUP_TERM },
} as unknown as Former
