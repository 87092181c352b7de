import { join } from 'node:path'
import t from 'tap'
import { QueryProcess } from '../../src/machine/sql/query-process.ts'
import { objectionToRead, objectionToWrite } from '../../src/machine/sql/rules.ts'
import { SqlMachine } from '../../src/machine/sql/sql-machine.ts'
import { tokensOf } from '../../src/machine/sql/tokens.ts'
import { IDENTITY } from './entries.ts'
import { TIME_MS, Told } from './sql-told.ts'

t.test('SQL is cut into words as SQLite cuts it', async t => {
  const words = (sql: string): unknown =>
    tokensOf(sql)?.map(token =>
      token.kind === 'word' ? token.word : token.kind === 'sign' ? token.sign : 'VALUE',
    ) ?? null
  const table: readonly (readonly [string, unknown])[] = [
    ['SELECT a.b', ['select', 'a', '.', 'b']],
    ["'it''s'", ["it's"]],
    ['"a""B" `c``d` [e f]', ['a"b', 'c`d', 'e f']],
    ['a--b\nc', ['a', 'c']],
    ['a/*b*/c/*d', ['a', 'c']],
    ['a/**/b', ['a', 'b']],
    ['1.5e3 x ?1 :a @b $c::d', ['VALUE', 'x', 'VALUE', 'VALUE', 'VALUE', 'VALUE']],
    ["x'00ff'", ['x', '00ff']],
    ['é_ü$1', ['é_ü$1']],
    ['\uFEFFselect', ['select']],
    ["'open", null],
    ['"open', null],
    ['[open', null],
    // White space in JavaScript, a part of a name in SQLite.
    ['a\u00a0b', ['a\u00a0b']],
  ]
  for (const [sql, expected] of table) t.strictSame(words(sql), expected, sql)
})

t.test('what a write may not be', async t => {
  const refused: Readonly<Record<string, readonly string[]>> = {
    STATEMENT_NOT_ALLOWED: [
      ...['BEGIN', 'COMMIT', 'END', 'ROLLBACK', 'SAVEPOINT a', 'RELEASE a', 'VACUUM'],
      ...[
        "ATTACH 'f' AS a",
        'DETACH a',
        'PRAGMA user_version = 1',
        'ANALYZE',
        'REINDEX',
        'EXPLAIN SELECT 1',
      ],
      ...[
        'CREATE TEMP TABLE t(a)',
        'CREATE TABLE temp.t(a)',
        'create /**/ Temporary view v as select 1',
      ],
      ...['INSERT OR ROLLBACK INTO t VALUES(1)', 'CREATE VIRTUAL TABLE f USING fts5(a)'],
      ...[
        'CREATE TABLE t(a REFERENCES b DEFERRABLE INITIALLY DEFERRED)',
        '"insert" INTO t VALUES(1)',
      ],
    ],
    RESERVED_NAME: [
      ...[
        'DELETE FROM _raft',
        'UPDATE main."_raft" SET applied_index = 9',
        "DELETE FROM '_sessions'",
      ],
      ...[
        'INSERT INTO [_Raft] VALUES(1)',
        'DROP INDEX `_sessions_by_time`',
        'ALTER TABLE t RENAME TO _raft',
      ],
    ],
    NON_DETERMINISTIC: [
      ...[
        'INSERT INTO t SELECT file FROM pragma_database_list',
        'INSERT INTO t VALUES(sqlite_version())',
      ],
      ...[
        'INSERT INTO t SELECT rootpage FROM sqlite_schema',
        "INSERT INTO t SELECT 1 FROM 'dbstat'",
      ],
    ],
    RECURSION: [
      'WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) INSERT INTO t SELECT n FROM c',
      'INSERT INTO t WITH c AS NOT MATERIALIZED (SELECT 1 UNION ALL SELECT * FROM "C") SELECT * FROM c',
    ],
    BAD_SQL: ['', ' -- nothing', "SELECT 'open", 'DELETE FROM t\0'],
  }
  for (const [code, statements] of Object.entries(refused)) {
    for (const sql of statements) t.equal(objectionToWrite(sql)?.code, code, sql)
  }
  for (const sql of [
    "INSERT INTO t(a) VALUES('rollback'), ('it is deferred')",
    'WITH c AS (SELECT 1 AS n) INSERT INTO t SELECT n FROM c',
    'CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT AS (a + 1)) STRICT',
    'CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET b = 1; END',
    '/* why */ UPDATE t SET a = 1 -- because',
  ]) {
    t.equal(objectionToWrite(sql), null, sql)
  }
})

t.test('what a query may not be', async t => {
  for (const sql of [
    ...['INSERT INTO t VALUES(1)', 'PRAGMA writable_schema = 1', "ATTACH 'f' AS a", 'VACUUM'],
    ...[
      'SELECT * FROM _sessions',
      'SELECT * FROM "_RAFT"',
      'SELECT file FROM pragma_database_list',
    ],
    ...['SELECT * FROM dbstat', "SELECT load_extension('x')"],
  ]) {
    t.ok(objectionToRead(sql), sql)
  }
  for (const sql of [
    'SELECT * FROM sqlite_schema',
    "SELECT * FROM pragma_table_info('t')",
    'VALUES(1)',
  ]) {
    t.equal(objectionToRead(sql), null, sql)
  }
})

for (const where of ['file', 'memory'] as const) {
  t.test(`${where}: statements, their results, and what queries then show`, async t => {
    const told = await Told.open(t, where)
    t.strictSame(await told.run('CREATE TABLE t(id INTEGER PRIMARY KEY, a, b)'), [{ changes: 0 }])
    t.strictSame(await told.run('INSERT INTO t(a, b) VALUES(?, ?)', ['x', { base64: 'AP8=' }]), [
      { changes: 1 },
    ])
    const named = { a: true, b: { integer: '9223372036854775807' } }
    t.strictSame(await told.run('INSERT INTO t(a, b) VALUES(:a, $b) RETURNING id, a, b', named), [
      { columns: ['id', 'a', 'b'], rows: [[2, 1, { integer: '9223372036854775807' }]] },
    ])
    t.strictSame(await told.run('UPDATE t SET a = 1.5 WHERE id = 1'), [{ changes: 1 }])
    t.strictSame(await told.ask('SELECT * FROM t ORDER BY id'), {
      columns: ['id', 'a', 'b'],
      rows: [
        [1, 1.5, { base64: 'AP8=' }],
        [2, 1, { integer: '9223372036854775807' }],
      ],
    })
    t.strictSame(await told.ask('SELECT b FROM t WHERE id = ?', [7]), { columns: ['b'], rows: [] })
    t.match(await told.ask('SELECT * FROM nowhere'), { error: { code: 'SQLITE_ERROR' } })
    t.match(await told.ask('SELECT ?', [1, 2]), { error: { code: /.+/ } })
    t.match(await told.ask('DELETE FROM t RETURNING id'), {
      error: { code: 'STATEMENT_NOT_ALLOWED' },
    })
  })
}

t.test('a transaction happens or not; statements that are none stand for themselves', async t => {
  const told = await Told.open(t)
  await told.run('CREATE TABLE t(a INTEGER PRIMARY KEY CHECK(a < 10))')
  const statements = [
    'INSERT INTO t VALUES(1)',
    'INSERT INTO t VALUES(1)',
    'INSERT INTO t VALUES(2)',
  ]
  t.equal(await told.tell({ statements }), 'SQLITE_CONSTRAINT_PRIMARYKEY')
  t.strictSame(await told.rows('SELECT a FROM t'), [])
  t.strictSame(await told.tell({ statements, transaction: false }), [
    { changes: 1 },
    { error: 'SQLITE_CONSTRAINT_PRIMARYKEY' },
    { changes: 1 },
  ])
  t.strictSame(await told.rows('SELECT a FROM t'), [[1], [2]])
  for (const [sql, code] of [
    ['INSERT INTO t VALUES(10)', 'SQLITE_CONSTRAINT_CHECK'],
    ['INSERT INTO t(b) VALUES(1)', 'SQLITE_ERROR'],
    ['INSERT INTO', 'SQLITE_ERROR'],
    ['INSERT INTO t VALUES(3); DELETE FROM t', 'BAD_STATEMENT'],
    ['INSERT INTO t VALUES(?)', 'BAD_STATEMENT'],
    ['SELECT a FROM t', 'STATEMENT_NOT_ALLOWED'],
    ['DELETE FROM _raft', 'RESERVED_NAME'],
    ['INSERT INTO t VALUES(last_insert_rowid())', 'NON_DETERMINISTIC'],
    ["INSERT INTO t VALUES(datetime('now', 'localtime'))", 'NON_DETERMINISTIC'],
    ["INSERT INTO t VALUES(datetime('subsec'))", 'NON_DETERMINISTIC'],
    ['INSERT OR REPLACE INTO t VALUES(randomblob(1000000))', 'TOO_LARGE'],
  ] as const) {
    t.equal(await told.run(sql), code, sql)
  }
  t.strictSame(await told.rows('SELECT a FROM t'), [[1], [2]])
})

t.test('what a RETURNING gives back is limited, and nothing of it happens beyond', async t => {
  const told = await Told.open(t)
  await told.run('CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)')
  const many = Array.from({ length: 1001 }, () => '(1)').join(',')
  const insert = `INSERT INTO t(a) VALUES${many}`
  t.equal(await told.run(`${insert} RETURNING id`), 'RESULT_TOO_LARGE')
  t.strictSame(await told.rows('SELECT count(*) FROM t'), [[0]])
  t.strictSame(await told.run(insert), [{ changes: 1001 }])
})

t.test('now is when the leader took the command, and chance is of its entry', async t => {
  const [one, other] = [await Told.open(t), await Told.open(t, 'file')]
  const ROWS = 'SELECT * FROM t ORDER BY id'
  for (const told of [one, other]) {
    await told.run(
      `CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT DEFAULT CURRENT_TIMESTAMP, b, c, d, e, f)`,
    )
    await told.run(
      `INSERT INTO t(b, c, d, e, f) VALUES(datetime('NOW', '+1 day'), unixepoch(), date('2024-02-29', '+1 year'),
         strftime('%H:%M', 'now'), julianday('2000-01-01'))`,
    )
    await told.run('INSERT INTO t(a, b, c) VALUES(random(), random(), hex(randomblob(40)))')
  }
  const [fixed, drawn] = (await one.rows(ROWS)) as [unknown[], unknown[]]
  t.strictSame(fixed, [
    ...[1, '2026-01-31 12:34:56', '2026-02-01 12:34:56', Math.floor(TIME_MS / 1000)],
    ...['2025-03-01', '12:34', 2451544.5],
  ])
  t.not(drawn[1], drawn[2], 'two draws differ')
  t.match(drawn[3], /^[0-9A-F]{80}$/)
  t.strictSame(await other.rows(ROWS), [fixed, drawn], 'on every node')
})

t.test('now is frozen however it is spelled, and what a C library rounds is refused', async t => {
  const told = await Told.open(t)
  await told.run('CREATE TABLE t(id INTEGER PRIMARY KEY, a)')
  // SQLite takes bytes for a text, and reads a text up to its first NUL.
  for (const now of [
    "x'6e6f77'",
    "CAST('Now' AS BLOB)",
    "'now' || char(0) || 'x'",
    "x'6e6f7700'",
  ]) {
    await told.run('DELETE FROM t')
    await told.run(`INSERT INTO t(a) VALUES(datetime(${now})), (strftime('%F %T', ${now}))`)
    const expected = [['2026-01-31 12:34:56'], ['2026-01-31 12:34:56']]
    t.strictSame(await told.rows('SELECT a FROM t'), expected, now)
  }
  for (const value of [
    "datetime('2026-01-01', x'6c6f63616c74696d65')",
    "datetime('2026-01-01', 'utc' || char(0))",
    "datetime(x'737562736563')",
    "timediff('2026-01-01', x'737562736563')",
    ...['sin(1)', 'pow(2, 0.5)', 'log(2, 3)', 'exp(1)'],
  ]) {
    t.equal(await told.run(`INSERT INTO t(a) VALUES(${value})`), 'NON_DETERMINISTIC', value)
  }
  t.strictSame(await told.run('INSERT INTO t(a) VALUES(sqrt(4)), (ceil(1.5)), (mod(7, 4))'), [
    { changes: 3 },
  ])
})

t.test('the time of a DEFAULT and the chance of a trigger are frozen as well', async t => {
  const [one, other] = [await Told.open(t), await Told.open(t)]
  for (const told of [one, other]) {
    await told.run('CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER DEFAULT (unixepoch()))')
    await told.run('CREATE TABLE u(id INTEGER PRIMARY KEY, a)')
    await told.run(
      'CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO u(a) VALUES(random() || CURRENT_TIME); END',
    )
    await told.run('INSERT INTO t(id) VALUES(1)')
  }
  const rows = 'SELECT * FROM t, u'
  t.strictSame(await one.rows(rows), await other.rows(rows))
  t.strictSame(await one.rows('SELECT a FROM t'), [[Math.floor(TIME_MS / 1000)]])
})

t.test('a query that does not end is ended, and the next one answered', async t => {
  const told = await Told.open(t, 'file')
  await told.run('CREATE TABLE t(id INTEGER PRIMARY KEY)')
  await told.machine.checkpoint()
  const reader = new QueryProcess(join(t.testdirName, 'sql.sqlite'), {
    timeMs: 1_500,
    waitingMax: 2,
  })
  t.teardown(() => reader.close())
  const endless = 'WITH c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c'
  const begin = performance.now()
  const [first, , third] = await Promise.all([
    reader.ask({ sql: endless, params: [] }),
    reader.ask({ sql: 'SELECT 1', params: [] }),
    reader.ask({ sql: 'SELECT 1', params: [] }),
  ])
  t.match(first, { kind: 'refused', code: 'QUERY_TIMEOUT' })
  t.ok(performance.now() - begin < 20_000)
  t.match(third, { kind: 'refused', code: 'OVERLOADED' })
  const next = await reader.ask({ sql: 'SELECT count(*) FROM t', params: [] })
  t.match(next, { kind: 'rows', rows: [[0n]] })
  const large = 'WITH c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 20000) SELECT n FROM c'
  t.match(await reader.ask({ sql: large, params: [] }), { code: 'RESULT_TOO_LARGE' })
  const heavy = "SELECT length(replace(hex(zeroblob(200000000)), '0', 'abc'))"
  t.match(await reader.ask({ sql: heavy, params: [] }), { kind: 'refused' })
  t.match(await reader.ask({ sql: 'SELECT 2', params: [] }), { kind: 'rows', rows: [[2n]] })
})

t.test('what was written is there again, and its files have one owner', async t => {
  const directory = t.testdir()
  const first = new Told(directory)
  await first.machine.open(IDENTITY)
  await first.run('CREATE TABLE t(id INTEGER PRIMARY KEY)')
  await first.run('INSERT INTO t VALUES(7)')
  await t.rejects(async () => new SqlMachine({ directory }).open(IDENTITY), /in use/)
  await first.machine.close()
  const again = new Told(directory)
  t.match(await again.machine.open(IDENTITY), { index: 2, term: 1 })
  t.strictSame(await again.rows('SELECT id FROM t'), [[7]])
  await again.machine.close()
})
