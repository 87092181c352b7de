import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { SqlMachine } from '../../src/machine/sql/sql-machine.ts'
import { asLogIndex, asNodeId, asTerm } from '../../src/raft/types.ts'
import { entry, IDENTITY, NONE } from './entries.ts'
import { setText } from './kv-subject.ts'

const HEIR = { clusterId: 'heir', nodeId: asNodeId('node9'), incarnation: 'of node9' }
const BEGINNING = {
  position: { index: asLogIndex(9), term: asTerm(9) },
  configuration: Uint8Array.of(1),
}

async function backupOfKeys(t: Test): Promise<string> {
  const machine = new KvMachine({ file: join(t.testdir(), 'kv.db') })
  await machine.open(IDENTITY)
  await machine.apply([entry(1, 1, setText('k', 'v'))], NONE)
  const file = join(t.testdirName, 'backup')
  const view = await machine.snapshot()
  await view.writeTo(file)
  view.release()
  await machine.close()
  return file
}

t.test(
  'a copy is one file, which says whose it was and is read without writing beside it',
  async t => {
    const file = await backupOfKeys(t)
    t.strictSame(readdirSync(t.testdirName).sort(), ['backup', 'kv.db', 'kv.db.lock', 'kv.db.sums'])
    const db = new Database(file, { readonly: true })
    t.equal(db.pragma('journal_mode', { simple: true }), 'delete')
    t.strictSame(db.prepare('SELECT cluster_id, node_id, applied_index FROM _raft').all(), [
      { cluster_id: 'cluster-1', node_id: 'node0', applied_index: 1 },
    ])
    t.strictSame(readdirSync(t.testdirName).sort(), ['backup', 'kv.db', 'kv.db.lock', 'kv.db.sums'])
    db.close()
  },
)

t.test('a backup of keys is none of SQL, whatever tables clients may have made', async t => {
  const file = await backupOfKeys(t)
  const sql = new SqlMachine({ directory: null })
  await sql.open(HEIR)
  t.teardown(() => sql.close())
  await t.rejects(
    sql.adopt(file, () => BEGINNING),
    /its tables are not those of this program/,
  )
  const keys = new KvMachine({ file: null })
  await keys.open(HEIR)
  t.teardown(() => keys.close())
  t.match(await keys.adopt(file, () => BEGINNING), BEGINNING.position)
})
