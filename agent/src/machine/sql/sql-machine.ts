import { join } from 'node:path'
import type { PlugInAnswer } from '../plug-in/host.ts'
import type { PlugInPlace } from '../plug-in/place.ts'
import { SqliteMachine } from '../sqlite/sqlite-machine.ts'
import { encodeCommand } from './command.ts'
import { SqlEngine } from './sql-engine.ts'
import { sqlRoutes } from './sql-routes.ts'

/**
 * SQL on tables that clients make: `POST /fsm/sql/execute` and `POST /fsm/sql/query`. Every node runs every
 * statement, so what could differ between them is refused, or frozen to the entry: see `rules.ts` and
 * `frozen-functions.ts`.
 */
export class SqlMachine extends SqliteMachine<Uint8Array, Promise<PlugInAnswer>> {
  readonly name = 'sql'
  readonly routes = sqlRoutes

  constructor({ directory }: PlugInPlace) {
    const file = directory === null ? null : join(directory, 'sql.sqlite')
    super(file, {
      tables: '',
      shape: 'clients',
      // "RNsq"
      applicationId: 0x524e7371,
      open: connection => new SqlEngine(connection),
    })
  }
}

export function createMachine(place: PlugInPlace): SqlMachine {
  return new SqlMachine(place)
}

const write = (sql: string, params: (number | string | null)[] = []): Uint8Array =>
  encodeCommand({ statements: [{ sql, params }], transaction: true })

/** For `npm run test-machine`. */
export const samples: readonly Uint8Array[] = [
  write(
    'CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT UNIQUE, at TEXT DEFAULT CURRENT_TIMESTAMP)',
  ),
  write('CREATE TABLE drawn(id INTEGER PRIMARY KEY, chance INTEGER, day TEXT)'),
  write('INSERT INTO users(name) VALUES(?) RETURNING id, name, at', ['batman']),
  write("INSERT INTO users(name) VALUES('robin' || random())"),
  write("INSERT INTO drawn(chance, day) SELECT random(), strftime('%Y-%m-%d', 'now') FROM users"),
  write('UPDATE users SET name = name || id WHERE id % 2 = 1'),
  write('DELETE FROM drawn WHERE id % 3 = 0'),
  write('DROP TABLE drawn'),
  write('INSERT INTO nowhere VALUES(1)'),
  write("INSERT INTO users(name) VALUES(datetime('now', 'localtime'))"),
  encodeCommand({
    statements: [
      { sql: "INSERT INTO users(name) VALUES('alfred')", params: [] },
      { sql: 'INSERT INTO users(id) VALUES(1)', params: [] },
    ],
    transaction: false,
  }),
]

export const queries: readonly Uint8Array[] = [
  'SELECT name, sql FROM sqlite_schema ORDER BY name',
  'SELECT * FROM users ORDER BY id',
  'SELECT * FROM drawn ORDER BY id',
].map(sql => Buffer.from(JSON.stringify({ sql })))
