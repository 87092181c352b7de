import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { forbidNondeterminism } from '../../src/machine/kv/deterministic.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { requireSqlite } from '../../src/machine/sqlite/schema.ts'
import { entry, IDENTITY, NONE } from './entries.ts'
import { kvSubject, set, setText, text } from './kv-subject.ts'
import { stateMachineContract } from './state-machine.contract.ts'
import { tamper } from './tamper.ts'

t.setTimeout(90_000)

stateMachineContract(t, kvSubject('file'))
stateMachineContract(t, kvSubject('memory'))

/** A new file; what `change` does to it happens before the machine opens it for good. */
async function opened(t: Test, change?: string): Promise<{ machine: KvMachine; file: string }> {
  const file = join(t.testdir(), 'kv.db')
  const first = new KvMachine({ file })
  await first.open(IDENTITY)
  await first.close()
  if (change !== undefined) tamper(file, change)
  const machine = new KvMachine({ file })
  t.teardown(() => machine.close())
  await machine.open(IDENTITY)
  return { machine, file }
}

function get(machine: KvMachine, key: string): string | null {
  const { row } = machine.query({ kind: 'get', key: text(key) })
  return row && Buffer.from(row.value).toString()
}

t.test('create_index stays when a key is overwritten, and is new after a delete', async t => {
  const { machine } = await opened(t)
  const indexes = () => {
    const { applied, row } = machine.query({ kind: 'get', key: text('k') })
    return [applied.index, row?.createIndex, row?.modifyIndex]
  }
  await machine.apply([entry(1, 1, setText('k', 'a')), entry(2, 1, setText('k', 'b'))], NONE)
  t.strictSame(indexes(), [2, 1, 2])
  const remove = Uint8Array.of(1, 2, 1, 0, 0, 0, 107)
  t.strictSame(await machine.apply([entry(3, 1, remove)], NONE), [{ kind: 'done', value: null }])
  t.strictSame(indexes(), [3, undefined, undefined])
  t.strictSame(await machine.apply([entry(4, 1, remove)], NONE), [{ kind: 'done', value: null }])
  await machine.apply([entry(5, 1, setText('k', 'c'))], NONE)
  t.strictSame(indexes(), [5, 5, 5])
})

t.test('the last of several pairs with one key wins', async t => {
  const { machine } = await opened(t)
  const pairs = ['a', 'b', 'c'].map(value => ({ key: text('k'), value: text(value) }))
  await machine.apply([entry(1, 1, set(pairs))], NONE)
  t.equal(get(machine, 'k'), 'c')
})

t.test('keys and values are bytes, up to their limits', async t => {
  const { machine } = await opened(t)
  const large = Buffer.alloc(512 * 1024, 'x\0')
  const pairs = [
    { key: text(''), value: text('') },
    { key: Uint8Array.of(0), value: Uint8Array.of(0, 0) },
    { key: Uint8Array.of(0, 0), value: Uint8Array.of(1) },
    { key: Uint8Array.of(0xff, 0xfe, 0xc3, 0x28), value: Uint8Array.of(0xc3) },
    { key: text('1'), value: text('1') },
    { key: Buffer.alloc(512, 0xed), value: large },
    { key: Buffer.alloc(511, 0xed), value: large.subarray(1) },
  ]
  await machine.apply([entry(1, 1, set(pairs))], NONE)
  for (const { key, value } of pairs) {
    const { row } = machine.query({ kind: 'get', key })
    t.ok(row && Buffer.compare(row.value, value) === 0, Buffer.from(key).toString('hex', 0, 8))
  }
})

t.test('indexes and terms beyond 32 bits are kept exactly', async t => {
  const big = 2 ** 52 + 1
  const { machine, file } = await opened(
    t,
    `UPDATE _raft SET applied_index = ${big - 1}, applied_term = ${big}`,
  )
  await machine.apply([entry(big, big, setText('k', 'a'))], NONE)
  const expected = { index: big, term: big }
  t.strictSame(machine.query({ kind: 'get', key: text('k') }).row?.createIndex, big)
  await machine.close()
  const again = new KvMachine({ file })
  t.match(await again.open(IDENTITY), expected)
  await again.close()
})

for (const [cause, body, error] of [
  ['an error of SQLite', `SELECT RAISE(ABORT, 'out of order')`, /out of order/],
  ['one that ends the transaction by itself', `SELECT RAISE(ROLLBACK, 'gone')`, /gone/],
  ['a function that differs between replicas', 'SELECT random()', /random\(\) differs/],
] as const) {
  t.test(
    `${cause} in mid-batch takes the whole batch back, with its position, and ends the machine`,
    async t => {
      const trigger = `CREATE TRIGGER fault BEFORE INSERT ON kv WHEN NEW.key = x'62' BEGIN ${body}; END`
      const { machine, file } = await opened(t, trigger)
      await machine.apply([entry(1, 1, setText('a', 'before'))], NONE)
      await machine.checkpoint() // commits: what SQLite ends by itself, it takes back to here
      const pairs = ['a', 'b'].map(key => ({ key: text(key), value: text('after') }))
      const batch = [
        entry(2, 1, setText('a', 'during')),
        entry(3, 1, Uint8Array.of(9)),
        entry(4, 1, set(pairs)),
        entry(5, 1, setText('c', 'behind')),
      ]
      await t.rejects(machine.apply(batch, NONE), error)
      t.throws(() => get(machine, 'a'), error)
      await t.rejects(machine.apply(batch, NONE), error)
      await machine.close()

      tamper(file, 'DROP TRIGGER fault')
      const repaired = new KvMachine({ file })
      t.match(await repaired.open(IDENTITY), { index: 1, term: 1 })
      t.strictSame([get(repaired, 'a'), get(repaired, 'c')], ['before', null])
      const [, rejected] = await repaired.apply(batch, NONE)
      t.strictSame(rejected, { kind: 'rejected', code: 'UNDECODABLE' })
      t.strictSame(get(repaired, 'b'), 'after')
      await repaired.close()
    },
  )
}

t.test('a position that this process did not write stops the machine', async t => {
  const { machine, file } = await opened(t)
  await machine.apply([entry(1, 1, setText('k', 'a'))], NONE)
  await machine.checkpoint()
  new Database(file).exec('UPDATE _raft SET applied_index = 7').close()
  await t.rejects(machine.apply([entry(2, 1, setText('k', 'b'))], NONE), /the stored position/)
  t.equal(get(machine, 'k'), 'a')
})

t.test('SQL functions that differ between replicas throw, wherever they hide', async t => {
  const db = new Database(':memory:')
  t.teardown(() => db.close())
  db.exec('CREATE TABLE rows(a INTEGER PRIMARY KEY, b TEXT DEFAULT CURRENT_TIMESTAMP)')
  db.exec(`INSERT INTO rows VALUES(1, 'x'), (2, 'y')`)
  forbidNondeterminism(db)
  for (const sql of [
    'SELECT random()',
    'SELECT randomblob(4)',
    `SELECT date()`,
    `SELECT date('now', '+1 day')`,
    `SELECT time('now')`,
    `SELECT datetime('now')`,
    `SELECT julianday()`,
    `SELECT unixepoch()`,
    `SELECT strftime('%s', 'now')`,
    `SELECT timediff('now', '2000-01-01')`,
    'SELECT CURRENT_DATE',
    'SELECT CURRENT_TIME',
    'SELECT CURRENT_TIMESTAMP',
    'SELECT changes()',
    'SELECT total_changes()',
    'SELECT last_insert_rowid()',
    'SELECT a FROM rows ORDER BY random()',
    'INSERT INTO rows(a) VALUES(3)',
  ]) {
    t.throws(() => db.exec(sql), /differs between replicas/, sql)
  }
})

t.test('a newer schema, another program and no database at all are refused unchanged', async t => {
  const newer = join(t.testdir({ 'text.db': 'x'.repeat(5000) }), 'newer.db')
  const machine = new KvMachine({ file: newer })
  await machine.open(IDENTITY)
  await machine.close()
  tamper(newer, 'UPDATE _raft SET schema_version = 99')
  await t.rejects(
    async () => new KvMachine({ file: newer }).open(IDENTITY),
    /schema 99, but .* knows 4/,
  )

  const foreign = join(t.testdirName, 'foreign.db')
  new Database(foreign).exec('CREATE TABLE theirs(a)').close()
  await t.rejects(
    async () => new KvMachine({ file: foreign }).open(IDENTITY),
    /no such table: _raft/,
  )

  const other = join(t.testdirName, 'text.db')
  await t.rejects(async () => new KvMachine({ file: other }).open(IDENTITY), /not a database/)
  t.equal(readFileSync(other, 'utf8'), 'x'.repeat(5000))
})

t.test('a refused open leaves no lock behind', async t => {
  const { machine, file } = await opened(t)
  await machine.close()
  await t.rejects(
    async () => new KvMachine({ file }).open({ ...IDENTITY, clusterId: 'other' }),
    /clusterId/,
  )
  t.match(await machine.open(IDENTITY), { index: 0, term: 0 })
})

t.test('SQLite below 3.51.3, which could damage the file in a checkpoint, is refused', async t => {
  for (const version of ['3.51.3', '3.51.10', '3.52.0', '4.0.0']) requireSqlite(version)
  for (const version of ['3.51.2', '3.51', '3.7.0', '2.99.99']) {
    t.throws(() => requireSqlite(version), /older than 3\.51\.3/, version)
  }
})

t.test('the WAL stays bounded under constant writes', async t => {
  const { machine, file } = await opened(t)
  let index = 0
  const write = async () => {
    const value = Buffer.alloc(2000, index)
    const pairs = Array.from({ length: 50 }, (_, at) => ({ key: text(`${at}`), value }))
    await machine.apply([entry(++index, 1, set(pairs))], NONE)
    await new Promise(setImmediate) // the thread's answer needs a turn
    return statSync(`${file}-wal`).size
  }
  await write()
  await machine.checkpoint() // so that the thread's start is in no round
  let longest = 0
  let peak = 0
  const start = index
  // A round goes from one checkpoint's end to the next one's, with writes all through it.
  while (index - start < 500 || index - start < 5 * longest) {
    const first = index
    for (let i = 0; i < 10; i++) peak = Math.max(peak, await write())
    let over = false
    const checkpoint = machine.checkpoint().finally(() => {
      over = true
    })
    while (!over) peak = Math.max(peak, await write())
    await checkpoint
    longest = Math.max(longest, index - first)
  }
  t.comment(`${index - start} batches, ${longest} in the longest round`)
  // A commit of these 50 rows writes 200 kB, of which a round has two; each batch adds what it changed, 100 kB.
  const bound = 2_000_000 + longest * 120_000
  t.ok(peak < bound, `the WAL grew to ${peak}: it holds one round, not more`)
})

t.test('a reader outside the process puts the restart off and costs nothing else', async t => {
  const { machine, file } = await opened(t)
  await machine.apply([entry(1, 1, setText('k', 'old'))], NONE)
  await machine.checkpoint()
  const reader = new Database(file, { readonly: true })
  t.teardown(() => reader.close())
  reader.exec('BEGIN')
  t.equal(reader.prepare('SELECT count(*) FROM kv').pluck().get(), 1)
  await machine.apply([entry(2, 1, setText('k', 'new')), entry(3, 1, setText('l', 'new'))], NONE)
  await machine.checkpoint()
  await machine.apply([entry(4, 1, setText('m', 'new'))], NONE)
  t.equal(reader.prepare('SELECT count(*) FROM kv').pluck().get(), 1)
  reader.exec('COMMIT')
  await machine.checkpoint()
  const before = statSync(`${file}-wal`).size
  await machine.apply([entry(5, 1, setText('n', 'new'))], NONE)
  await machine.checkpoint()
  t.equal(statSync(`${file}-wal`).size, before, 'the WAL is written from its start again')
  t.strictSame([get(machine, 'k'), get(machine, 'n')], ['new', 'new'])
})

t.test('a checkpoint without news does not write', async t => {
  const { machine, file } = await opened(t)
  await machine.apply([entry(1, 1, setText('k', 'v'))], NONE)
  await machine.checkpoint()
  const before = readFileSync(`${file}-wal`)
  await machine.checkpoint()
  t.strictSame(readFileSync(`${file}-wal`), before)
})

t.test('a clean close leaves one complete file', async t => {
  const { machine, file } = await opened(t)
  await machine.apply([entry(1, 1, setText('k', 'v'))], NONE)
  await machine.checkpoint()
  await machine.apply([entry(2, 1, setText('k', 'w'))], NONE)
  await machine.close()
  t.notOk(existsSync(`${file}-wal`), 'no WAL')
  const copy = join(t.testdirName, 'copy.db')
  writeFileSync(copy, readFileSync(file))
  const again = new KvMachine({ file: copy })
  t.match(await again.open(IDENTITY), { index: 2, term: 1 })
  t.equal(get(again, 'k'), 'w')
  await again.close()
})

t.test('a value that differs from its checksum is never served', async t => {
  const { machine, file } = await opened(t)
  await machine.apply([entry(1, 1, setText('k', 'value'))], NONE)
  await machine.checkpoint()
  new Database(file).exec("UPDATE kv SET value = x'00'").close()
  t.throws(() => get(machine, 'k'), { name: 'MachineDamaged', file })
  t.equal(get(machine, 'another'), null)
})
