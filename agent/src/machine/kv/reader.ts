import { unreachable } from '../../lib/assert.ts'
import type { LogPosition } from '../../raft/types.ts'
import type { Executor } from './executor.ts'
import type { KvAnswer, KvQuery, Scope } from './query.ts'
import { endOf } from './ranged.ts'
import type { KeptRow } from './row.ts'
import type { Rows } from './rows.ts'

/** Answers a query from what `executor` works on, which shows everything up to `applied`. */
export function answer(
  { rows, sessions, transactions }: Executor,
  applied: LogPosition,
  query: KvQuery,
): KvAnswer {
  const changedIn = (scope: Scope, lastWrite: number): number =>
    Math.max(lastWrite, rows.tombstones.lastWithin(scope, endOf(scope.bytes)))
  switch (query.kind) {
    case 'get':
      return { kind: 'get', applied, row: rows.look(query.key) }
    case 'rows': {
      const found = listed(rows, query.scope)
      if (found === null) return { kind: 'rows', applied, index: applied.index, rows: null }
      const [only] = found
      // Whatever was deleted before a key was made is of no interest to whoever looks at it alone.
      const index =
        query.scope.kind === 'key' && only !== undefined
          ? only.modifyIndex
          : changedIn(query.scope, lastWriteOf(found))
      return { kind: 'rows', applied, index, rows: found }
    }
    case 'keys': {
      const named = rows.names.list(query.prefix, query.separator)
      if (named === null) return { kind: 'keys', applied, index: applied.index, keys: null }
      const { keys, lastChange } = named
      const index = changedIn({ kind: 'prefix', bytes: query.prefix }, lastChange)
      return { kind: 'keys', applied, index, keys }
    }
    case 'transaction':
      return { kind: 'transaction', applied, outcome: transactions.read(query.operations) }
    case 'sessions': {
      const { id } = query
      const one = id === null ? null : sessions.get(id)
      const found = id === null ? sessions.all() : one === null ? [] : [one]
      return { kind: 'sessions', applied, index: sessions.lastChange, sessions: found }
    }
    case 'lifetimes':
      return { kind: 'lifetimes', applied, lifetimes: sessions.lifetimes() }
    case 'page':
      return { kind: 'page', applied, rows: rows.page(query.after, query.bytesMax) }
    default:
      return unreachable(query)
  }
}

/** Null: they are too large for one answer. */
function listed(rows: Rows, { kind, bytes }: Scope): KeptRow[] | null {
  if (kind === 'prefix') return rows.list(bytes)
  const row = rows.look(bytes)
  return row === null ? [] : [row]
}

function lastWriteOf(rows: readonly KeptRow[]): number {
  let last = 0
  for (const { modifyIndex } of rows) last = Math.max(last, modifyIndex)
  return last
}
