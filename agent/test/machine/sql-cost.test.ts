import t from 'tap'
import { Told } from './sql-told.ts'

/** Tables of so many rows: `large` is keyed, `loose` has no index that is unique. */
const LARGE = 5_000

async function filled(told: Told): Promise<void> {
  for (const sql of [
    'CREATE TABLE large(id INTEGER PRIMARY KEY, name TEXT UNIQUE, n INTEGER)',
    'CREATE TABLE loose(a, b)',
    'CREATE INDEX loose_a ON loose(a)',
    'CREATE TABLE one(id INTEGER PRIMARY KEY, n)',
    'INSERT INTO one VALUES(1, 1)',
  ]) {
    await told.run(sql)
  }
  const rows = JSON.stringify(Array.from({ length: LARGE }, (_, at) => at))
  await told.run('INSERT INTO large(id, name, n) SELECT value, value, 1 FROM json_each(?)', [rows])
  await told.run('INSERT INTO loose SELECT id % 2, n FROM large')
}

t.test('a write that would go on for hours is refused before it begins', async t => {
  const told = await Told.open(t)
  await filled(told)
  for (const sql of [
    'INSERT INTO loose SELECT x.id, y.id FROM large x, large y',
    'CREATE TABLE product AS SELECT x.id FROM large x, large y, large z',
    'UPDATE large SET n = (SELECT count(*) FROM loose WHERE loose.b = large.n)',
    // An index that is not unique may find every row.
    'UPDATE large SET n = (SELECT count(*) FROM loose WHERE loose.a = large.n)',
    'DELETE FROM large WHERE EXISTS (SELECT 1 FROM loose x, loose y WHERE x.b = y.b + large.n)',
    'UPDATE large SET n = y.b FROM loose x, loose y WHERE x.b = y.a',
    'INSERT INTO one(n) VALUES(1) RETURNING (SELECT count(*) FROM large x, large y)',
    `WITH x AS MATERIALIZED (SELECT 1 FROM one a, one b, large), y AS MATERIALIZED (SELECT 1 FROM x m, x n)
       INSERT INTO one(n) SELECT 1 FROM y o, y p`,
    'INSERT INTO one(n) SELECT 1 FROM large x, large y WHERE x.name IS NULL AND y.name IS NULL AND x.n = y.n',
    'INSERT INTO one(n) SELECT 1 FROM large WHERE n > (SELECT count(*) FROM loose x WHERE x.b = large.n)',
    `INSERT INTO one(n) SELECT 1 FROM large x, loose y WHERE x.id IN (${Array.from({ length: LARGE }, (_, at) => at)})`,
  ]) {
    t.equal(await told.run(sql), 'TOO_COSTLY', sql.slice(0, 120))
  }
  t.strictSame(await told.rows('SELECT count(*) FROM one'), [[1]], 'nothing happened')
})

t.test(
  'what takes one look at each row, or finds each by a key, may be as large as it is',
  async t => {
    const told = await Told.open(t)
    await filled(told)
    const changes = LARGE
    for (const sql of [
      'UPDATE large SET n = n + 1',
      'UPDATE large SET n = (SELECT b FROM loose WHERE loose.rowid = large.id) WHERE id >= 0',
      'UPDATE large SET n = (SELECT o.n FROM large o WHERE o.name = large.name)',
      'UPDATE large SET n = loose.b FROM loose WHERE loose.rowid = large.id + 1',
      'UPDATE large SET n = (SELECT max(b) FROM loose)',
      'INSERT INTO loose SELECT id, 1 FROM large UNION ALL SELECT id, 1 FROM one WHERE id > 1',
      'DELETE FROM large WHERE id IN (SELECT id FROM large)',
    ]) {
      t.strictSame(await told.run(sql), [{ changes }], sql)
    }
  },
)

t.test('answers that are remembered for retries are no table of clients', async t => {
  const told = await Told.open(t)
  await told.run('CREATE TABLE few(n)')
  await told.run('INSERT INTO few VALUES(1), (2)')
  await told.remember(LARGE)
  t.strictSame(await told.run('INSERT INTO few SELECT a.n FROM few a, few b'), [{ changes: 4 }])
})

t.test('statements of one command share what it may take', async t => {
  const told = await Told.open(t)
  await filled(told)
  const doubled = 'INSERT INTO loose SELECT a, b FROM loose'
  t.equal(await told.tell({ statements: Array.from({ length: 60 }, () => doubled) }), 'TOO_COSTLY')
  t.strictSame(await told.rows('SELECT count(*) FROM loose'), [[LARGE]])
  const update = { sql: 'UPDATE large SET n = 2 WHERE id = ?', params: [7] }
  const many = Array.from({ length: 1_000 }, () => update)
  t.equal(((await told.tell({ statements: many })) as unknown[]).length, 1_000)
})

t.test('triggers count with what fires them', async t => {
  const told = await Told.open(t)
  await filled(told)
  await told.run('CREATE TABLE log(id INTEGER PRIMARY KEY, n)')
  await told.run(
    'CREATE TRIGGER noted AFTER UPDATE ON one BEGIN INSERT INTO log(n) VALUES(new.n); UPDATE large SET n = new.n WHERE id = new.id; END',
  )
  t.strictSame(await told.run('UPDATE one SET n = 7'), [{ changes: 1 }])
  t.strictSame(await told.rows('SELECT n FROM log'), [[7]])
  await told.run(
    'CREATE TRIGGER crossed AFTER INSERT ON log BEGIN INSERT INTO loose SELECT 1, 1 FROM large x, large y; END',
  )
  t.equal(await told.run('UPDATE one SET n = 8'), 'TOO_COSTLY', 'through two of them')
  await told.run('DROP TRIGGER crossed')
  t.strictSame(await told.run('UPDATE one SET n = 8'), [{ changes: 1 }])
})

t.test('a chain of triggers, each of which fires the next one twice, is refused', async t => {
  const told = await Told.open(t)
  for (let at = 0; at <= 40; at++) {
    await told.run(`CREATE TABLE c${at}(id INTEGER PRIMARY KEY, n)`)
    const next = `INSERT INTO c${at + 1}(n) VALUES(1);`
    await told.run(`CREATE TRIGGER t${at} AFTER INSERT ON c${at} BEGIN ${next} ${next} END`)
  }
  await told.run('CREATE TABLE c41(id INTEGER PRIMARY KEY, n)')
  t.equal(await told.run('INSERT INTO c0(n) VALUES(1)'), 'TOO_COSTLY')
  t.strictSame(await told.run('INSERT INTO c38(n) VALUES(1)'), [{ changes: 1 }])
  t.strictSame(await told.rows('SELECT count(*) FROM c41'), [[8]])
})

t.test('a trigger does not fire itself', async t => {
  const told = await Told.open(t)
  await told.run('CREATE TABLE c(id INTEGER PRIMARY KEY, n)')
  const again = 'INSERT INTO c(n) SELECT new.n + 1 WHERE new.n < 60;'
  await told.run(`CREATE TRIGGER again AFTER INSERT ON c BEGIN ${again} ${again} END`)
  t.strictSame(await told.run('INSERT INTO c(n) VALUES(1)'), [{ changes: 1 }])
  t.strictSame(await told.rows('SELECT count(*) FROM c'), [[3]])
})

t.test('in memory, where nobody could end it, a query has the same limit', async t => {
  const told = await Told.open(t)
  await filled(told)
  const asked = await told.ask('SELECT count(*) FROM large x, large y, large z')
  t.match(asked, { error: { code: 'TOO_COSTLY' } })
  t.strictSame(await told.rows('SELECT count(*) FROM large'), [[LARGE]])
  t.match(await told.ask('EXPLAIN QUERY PLAN SELECT * FROM large x, large y'), { rows: [] })
})

t.test('what a statement does not say itself counts too: its views do', async t => {
  const told = await Told.open(t)
  await filled(told)
  await told.run(`CREATE VIEW listed AS SELECT id FROM large
    WHERE id IN (${Array.from({ length: 900 }, (_, at) => at)})`)
  await told.run('CREATE TABLE unnamed(name UNIQUE, n)')
  await told.run('INSERT INTO unnamed SELECT NULL, n FROM large')
  await told.run('CREATE VIEW nameless AS SELECT n FROM unnamed WHERE name IS NULL')
  await told.run('CREATE VIEW again AS SELECT n FROM nameless')
  for (const sql of [
    'INSERT INTO one(n) SELECT count(*) FROM listed a, listed b, listed c',
    'INSERT INTO one(n) SELECT count(*) FROM again a, again b',
  ]) {
    t.equal(await told.run(sql), 'TOO_COSTLY', sql)
  }
  t.strictSame(await told.run('INSERT INTO one(n) SELECT id FROM listed'), [{ changes: 900 }])
})

t.test('views and parts of a WITH that are written out without end are refused', async t => {
  const told = await Told.open(t)
  await told.run('CREATE TABLE one(n)')
  const view = (at: number) =>
    `CREATE VIEW v${at} AS SELECT a.q FROM v${at - 1} a UNION ALL SELECT b.q FROM v${at - 1} b`
  // From the last to the first: none of them is too much when it is made.
  for (let at = 40; at > 0; at--) t.strictSame(await told.run(view(at)), [{ changes: 0 }])
  await told.run('CREATE VIEW v0 AS SELECT 1 AS q')
  t.equal(await told.run('INSERT INTO one SELECT q FROM v40'), 'TOO_COSTLY')
  t.equal(await told.run('ALTER TABLE one RENAME TO two'), 'TOO_COSTLY')
  t.match(await told.ask('SELECT q FROM v40'), { error: { code: 'TOO_COSTLY' } })
  t.strictSame(await told.run('INSERT INTO one SELECT q FROM v3'), [{ changes: 8 }])
  const noted = 'CREATE TRIGGER noted AFTER UPDATE ON one BEGIN SELECT q FROM v40; END'
  t.equal(await told.run(noted), 'TOO_COSTLY')
  for (let at = 1; at <= 40; at++) {
    t.match(await told.run(`DROP VIEW v${at}`), [{}], 'whoever made them gets out')
  }
  t.match(await told.run('ALTER TABLE one ADD COLUMN m'), [{}])
  const parts = Array.from(
    { length: 40 },
    (_, at) => `, c${at + 1} AS (SELECT a.q FROM c${at} a, c${at} b)`,
  )
  const written = `WITH c0 AS (SELECT 1 q)${parts.join('')} INSERT INTO one(n) SELECT q FROM c40`
  t.equal(await told.run(written), 'TOO_COSTLY')
  const line = Array.from(
    { length: 100 },
    (_, at) => `, c${at + 1} AS (SELECT q + 1 AS q FROM c${at})`,
  )
  const once = `WITH c0 AS (SELECT n AS q FROM one)${line.join('')} INSERT INTO one(n) SELECT q FROM c100`
  t.strictSame(await told.run(once), [{ changes: 8 }], 'each is named once')
  const windows =
    'INSERT INTO one(n) SELECT sum(1) OVER w FROM one WINDOW w AS (ORDER BY (SELECT q FROM v40))'
  for (let at = 1; at <= 40; at++) await told.run(view(41 - at))
  t.equal(await told.run(windows), 'TOO_COSTLY')
  t.equal(await told.run(windows.replace('OVER w', 'OVER ()')), 'TOO_COSTLY', 'named or not')
  await told.run('CREATE VIEW round AS SELECT n FROM trip')
  await told.run('CREATE VIEW trip AS SELECT n FROM round')
  t.equal(await told.run('INSERT INTO one(n) SELECT n FROM trip'), 'TOO_COSTLY')
})

t.test('a name that reads like a part of a plan is refused, in any quotes', async t => {
  const told = await Told.open(t)
  await filled(told)
  for (const name of ['"CONSTANT ROW"', '[2 constant rows]', "'1-ROW VALUES CLAUSE'"]) {
    const sql = `INSERT INTO one(n) SELECT 1 FROM large ${name}, large b, large c`
    t.equal(await told.run(sql), 'BAD_NAME', sql)
  }
  const searched = '`x USING INTEGER PRIMARY KEY (rowid=?)`'
  t.equal(
    await told.run(`DELETE FROM one WHERE id IN (SELECT 1 FROM large ${searched})`),
    'BAD_NAME',
  )
  t.equal(await told.run('CREATE TABLE more("a=?" UNIQUE)'), 'BAD_NAME')
})

t.test('windows that go through all other rows for each', async t => {
  const told = await Told.open(t)
  await filled(told)
  const all = 'ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING'
  for (const what of [
    `sum(n) OVER (${all} EXCLUDE CURRENT ROW)`,
    'length(group_concat(n) OVER (ORDER BY id ROWS 4000 PRECEDING))',
  ]) {
    const sql = `INSERT INTO one(n) SELECT max(s) FROM (SELECT ${what} AS s FROM large)`
    t.equal(await told.run(sql), 'TOO_COSTLY', sql)
  }
  const sql = `INSERT INTO one(n) SELECT max(s) FROM (SELECT sum(n) OVER (${all}) AS s FROM large)`
  t.strictSame(await told.run(sql), [{ changes: 1 }])
})

t.test('foreign keys that have rows deleted whose own are found by no index', async t => {
  const told = await Told.open(t)
  for (const sql of [
    'CREATE TABLE top(id INTEGER PRIMARY KEY)',
    'CREATE TABLE middle(id INTEGER PRIMARY KEY, top INTEGER REFERENCES top ON DELETE CASCADE)',
    'CREATE INDEX middle_top ON middle(top)',
    'CREATE TABLE low(id INTEGER PRIMARY KEY, middle INTEGER REFERENCES middle ON DELETE CASCADE)',
    'INSERT INTO top VALUES(1)',
  ]) {
    await told.run(sql)
  }
  const rows = JSON.stringify(Array.from({ length: LARGE }, (_, at) => at))
  await told.run('INSERT INTO middle SELECT value, 1 FROM json_each(?)', [rows])
  await told.run('INSERT INTO low SELECT id, id FROM middle')
  t.equal(await told.run('DELETE FROM top WHERE id = 1'), 'TOO_COSTLY')
  await told.run('CREATE INDEX low_middle ON low(middle)')
  t.strictSame(await told.run('DELETE FROM top WHERE id = 1'), [{ changes: 1 }])
  t.strictSame(await told.rows('SELECT count(*) FROM low'), [[0]])
})

t.test('what functions give row by row counts in a trigger as well', async t => {
  const told = await Told.open(t)
  await told.run('CREATE TABLE one(n)')
  await told.run('INSERT INTO one VALUES(1)')
  await told.run(`CREATE TRIGGER crossed AFTER UPDATE ON one
    BEGIN INSERT INTO one SELECT 1 FROM json_each(new.n) x, json_each(new.n) y; END`)
  t.equal(await told.run("UPDATE one SET n = '[1]'"), 'TOO_COSTLY')
})
