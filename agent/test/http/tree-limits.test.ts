import { strictEqual } from 'node:assert/strict'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import t from 'tap'
import { encodeCommand } from '../../src/machine/kv/command.ts'
import { Names } from '../../src/machine/kv/names.ts'
import { ROWS_BYTES_MAX, TREE_KEYS_MAX } from '../../src/machine/kv/tree-limits.ts'
import { type Harness, serve } from './harness.ts'
import { request } from './raw-client.ts'

t.setTimeout(120_000)

/** As many keys as that below a prefix, each with a value of so many bytes. */
async function fill({ node }: Harness, prefix: string, count: number, bytes = 1): Promise<void> {
  const value = Buffer.alloc(bytes, 'v')
  for (let from = 0; from < count; from += 10_000) {
    const pairs = Array.from({ length: Math.min(10_000, count - from) }, (_, at) => ({
      key: Buffer.from(`${prefix}${String(from + at).padStart(6, '0')}`),
      value,
    }))
    await node.propose(encodeCommand({ kind: 'set', pairs }))
  }
}

const txn = (operations: readonly object[]) => JSON.stringify(operations.map(KV => ({ KV })))

t.test('more keys than one entry may delete stay, all of them', async t => {
  const harness = await serve(t)
  const { tcp } = harness
  await fill(harness, 'a/', TREE_KEYS_MAX)
  await fill(harness, 'b/', 1)
  const keys = async (prefix: string) =>
    (JSON.parse((await request(tcp, `GET /v1/kv/${prefix}?keys`)).body || '[]') as string[]).length
  const refused = await request(tcp, 'DELETE /v1/kv/?recurse')
  t.equal(refused.status, 413)
  t.match(refused.body, /more than 50000 keys begin with it: delete longer prefixes/)
  t.equal(await keys(''), TREE_KEYS_MAX + 1)
  const steps = [
    { Verb: 'set', Key: 'c', Value: '' },
    { Verb: 'delete-tree', Key: '' },
  ]
  const both = await request(tcp, 'PUT /v1/txn', { body: txn(steps) })
  t.equal(both.status, 409)
  t.match(JSON.parse(both.body).Errors, [{ OpIndex: 1, What: /more than 50000 keys/ }])
  t.equal(await keys(''), TREE_KEYS_MAX + 1, 'nor has anything else of it happened')
  t.equal((await request(tcp, 'DELETE /v1/kv/a/?recurse')).body, 'true')
  t.equal(await keys(''), 1, 'as many as are allowed go at once')
})

t.test('an answer holds so many rows and no more', async t => {
  const harness = await serve(t)
  const { tcp } = harness
  const each = 512 * 1024
  const fits = Math.floor(ROWS_BYTES_MAX / (each + 1024))
  await fill(harness, 'a/', fits, each)
  const get = (target: string) => request(tcp, `GET /v1/kv/${target}`)
  t.equal(JSON.parse((await get('a/?recurse&stale')).body).length, fits)
  const tree = { Verb: 'get-tree', Key: 'a/' }
  const ask = (...operations: object[]) => request(tcp, 'PUT /v1/txn', { body: txn(operations) })
  t.equal((await ask(tree)).status, 200)
  t.equal((await ask(tree, tree)).status, 409, 'both together are too many')
  await fill(harness, 'a/x', 2, each)
  const refused = await get('a/?recurse&stale')
  t.equal(refused.status, 413)
  t.match(refused.body, /bytes begin with it: ask for \?keys, or for longer prefixes/)
  t.equal((await get('a/?recurse&stale&index=1&wait=1s')).status, 413, 'who waits is told at once')
  t.equal((await get('a/?keys')).status, 200)
  t.equal((await get('a/x?recurse')).status, 200)
  for (const write of [[], [{ Verb: 'set', Key: 'c', Value: '' }]]) {
    const answer = await ask(...write, tree)
    t.equal(answer.status, 409)
    t.match(JSON.parse(answer.body).Errors, [{ What: /an answer has at most 16777216 bytes/ }])
  }
  t.equal((await get('c')).status, 404)
})

t.test('names have a bound of their own, and a folder is one however much is in it', async t => {
  const harness = await serve(t)
  const { tcp, node } = harness
  await fill(harness, 'a/x/', 130_000)
  await fill(harness, 'a/y', 3)
  await fill(harness, 'b/', 2)
  const get = (target: string) => request(tcp, `GET /v1/kv/${target}`)
  const refused = await get('a/?keys')
  t.equal(refused.status, 413)
  t.match(
    refused.body.slice(0, 200),
    /bytes of names begin with it: ask with a separator, or for longer prefixes/,
  )
  t.equal((await get('?keys&index=1&wait=1s')).status, 413, 'who waits is told at once')
  const names = async (target: string) => JSON.parse((await get(target)).body)
  t.strictSame(await names('?keys&separator=/'), ['a/', 'b/'])
  t.strictSame(await names('a/?keys&separator=/'), ['a/x/', 'a/y000000', 'a/y000001', 'a/y000002'])
  const folder = await get('a/?keys&separator=/')
  t.equal(
    folder.headers.get('x-consul-index'),
    String(node.applied - 1),
    'as of the last of all in it',
  )
})

t.test('names cut by steps are those cut one by one', async t => {
  const byte = fc.constantFrom(0x01, 0x2f, 0x61, 0xff)
  const bytes = (min: number) =>
    fc.array(byte, { minLength: min, maxLength: 5 }).map(given => Buffer.from(given))
  await fc.assert(
    fc.property(fc.array(bytes(1), { maxLength: 20 }), bytes(0), bytes(0), (keys, prefix, cut) => {
      const db = new Database(':memory:')
      db.exec('CREATE TABLE kv(key BLOB PRIMARY KEY, modify_index INTEGER) WITHOUT ROWID')
      const put = db.prepare('INSERT OR REPLACE INTO kv VALUES(?, ?)')
      keys.forEach((key, at) => void put.run(key, at + 1))
      const below = keys.filter(key => key.subarray(0, prefix.length).equals(prefix))
      const names = below.map(key => {
        const at = cut.length === 0 ? -1 : key.indexOf(cut, prefix.length)
        return (at === -1 ? key : key.subarray(0, at + cut.length)).toString('hex')
      })
      const expected = [...new Set(names)].sort()
      const found = new Names(db).list(prefix, cut)
      strictEqual(found?.keys.map(key => Buffer.from(key).toString('hex')).join(), expected.join())
      strictEqual(found.lastChange, Math.max(0, ...below.map(one => lastOf(keys, one))))
      db.close()
    }),
    { numRuns: 500 },
  )
  t.pass('for all of them')
})

function lastOf(keys: readonly Buffer[], key: Buffer): number {
  return keys.findLastIndex(other => other.equals(key)) + 1
}
