import { unreachable } from '../../lib/assert.ts'
import type { KvCommand } from './command.ts'
import type { Expiry } from './expiry.ts'
import type { HotRows } from './hot-rows.ts'
import type { Operation } from './operation.ts'
import type { KvQuery } from './query.ts'

/** Which of the rows that wait in memory have to be in the table before it is used; all others go on waiting. */

/** To be called before the command runs: while one does, its savepoint may take back what is written. */
export function writeConcerned(command: KvCommand, hot: HotRows): void {
  switch (command.kind) {
    case 'set':
      for (const { key } of command.pairs) hot.writeKey(key)
      break
    case 'delete':
      hot.writeKey(command.key)
      break
    case 'transaction':
      for (const one of command.operations) {
        if (isOfTree(one)) hot.writeWithin(one.key)
        else hot.writeKey(one.key)
      }
      break
    case 'create-session':
    case 'renew-session':
      break
    case 'destroy-session':
      hot.writeHeldBy(new Set([command.id]))
      break
    case 'expire':
      writeExpiring(command.expiries, hot)
      break
    default:
      unreachable(command)
  }
}

/** Hundreds of sessions may end at once: what waits is gone through once for all of them. */
function writeExpiring(expiries: readonly Expiry[], hot: HotRows): void {
  const ids = new Set<string>()
  for (const { what, id } of expiries) {
    if (what === 'key') hot.writeKey(id)
    else if (what === 'session') ids.add(Buffer.from(id).toString('latin1'))
  }
  if (ids.size > 0) hot.writeHeldBy(ids)
}

/** The same for what is read. A single key is found while it waits, too. */
export function writeAsked(query: KvQuery, hot: HotRows): void {
  switch (query.kind) {
    case 'get':
    case 'sessions':
      break
    case 'rows':
      if (query.scope.kind === 'prefix') hot.writeWithin(query.scope.bytes)
      break
    case 'keys':
      hot.writeWithin(query.prefix)
      break
    case 'transaction':
      for (const one of query.operations) if (isOfTree(one)) hot.writeWithin(one.key)
      break
    case 'lifetimes':
    case 'page':
      hot.write()
      break
    default:
      unreachable(query)
  }
}

/** How many rows it changes, roughly. */
export function rowsOf(command: KvCommand): number {
  switch (command.kind) {
    case 'set':
      return command.pairs.length
    case 'transaction':
      return command.operations.length
    case 'expire':
      return command.expiries.length
    default:
      return 1
  }
}

function isOfTree({ verb }: Operation): boolean {
  return verb === 'delete-tree' || verb === 'get-tree'
}
