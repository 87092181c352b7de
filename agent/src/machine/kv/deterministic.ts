import type { Database } from 'better-sqlite3'

/** Their answer depends on the clock, on chance, or on what this connection did before. */
const FORBIDDEN = [
  'random',
  'randomblob',
  'date',
  'time',
  'datetime',
  'julianday',
  'unixepoch',
  'strftime',
  'timediff',
  'current_date',
  'current_time',
  'current_timestamp',
  'changes',
  'total_changes',
  'last_insert_rowid',
] as const

/**
 * Makes every SQL function that could answer differently on another replica throw, wherever it hides:
 * in a DEFAULT, in a trigger, in ORDER BY random(). SQLite prefers functions of the application to its
 * own of the same name, whatever their number of arguments.
 */
export function forbidNondeterminism(db: Database): void {
  for (const name of FORBIDDEN) {
    db.function(name, { varargs: true }, () => {
      throw new Error(`${name}() differs between replicas and must not be used`)
    })
  }
}
