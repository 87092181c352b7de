/** When a transaction is committed: what bounds its stretch and what a kill makes the log replay. */

import Database from 'better-sqlite3'
import t from 'tap'
import { CommitPolicy } from '../../src/machine/sqlite/commit-policy.ts'

/** A policy for a database of so many MiB. */
function policyOf(mebibytes: number): CommitPolicy {
  const db = new Database(':memory:')
  t.teardown(() => db.close())
  db.exec('CREATE TABLE blobs(body)')
  db.prepare('INSERT INTO blobs VALUES(zeroblob(?))').run(mebibytes * 1024 * 1024)
  const policy = new CommitPolicy(db)
  policy.committed(0)
  return policy
}

t.test('entries and bytes bound it, whatever they change', async t => {
  const policy = policyOf(1)
  t.equal(policy.isDue(19_999, { rows: 1, bytes: 0 }), false)
  t.equal(policy.isDue(20_000, { rows: 1, bytes: 0 }), true)
  t.equal(policy.isDue(1, { rows: 1, bytes: 24 * 1024 * 1024 }), true)
  t.equal(policy.isDue(1, { rows: 1_000_000, bytes: 0 }), false, 'there are not so many pages')
})

t.test('in a large table hardly more rows than pages may be written', async t => {
  const policy = policyOf(64)
  t.equal(policy.isDue(1, { rows: 2_048, bytes: 0 }), false)
  t.equal(policy.isDue(1, { rows: 2_400, bytes: 0 }), true)
})

t.test('pages that no row is in do not make a table large', async t => {
  const policy = policyOf(64)
  policy.committed(60 * 1024 * 1024)
  t.equal(policy.isDue(1, { rows: 19_000, bytes: 0 }), false)
})
