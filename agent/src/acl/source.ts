import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { ChangeFeed } from '../machine/kv/change-feed.ts'
import type { KvAnswer, KvQuery } from '../machine/kv/query.ts'
import { ACL_PREFIX } from '../machine/kv/reserved.ts'
import type { ListedRow } from '../machine/kv/row.ts'
import type { AclSource } from './acl.ts'

/** Whoever can make this file in the data directory owns the node, and may have another first token. */
const RESET_FILE = 'acl-bootstrap-reset'

export interface AclParts {
  /** that answers at once */
  readonly machine: { query(query: KvQuery): KvAnswer | PromiseLike<KvAnswer> }
  readonly feed: ChangeFeed
  readonly wallMs: () => number
  /** data directory of this node; null: it has none */
  readonly directory: string | null
}

/** The tokens in this node's own machine. */
export function aclSource({ machine, feed, wallMs, directory }: AclParts): AclSource {
  const file = directory === null ? null : join(directory, RESET_FILE)
  return {
    version: () => feed.reserved,
    rows: () => rowsIn(machine),
    timeMs: () => feed.timeMs,
    wallMs,
    reset: {
      wanted: () => file !== null && existsSync(file),
      end: () => {
        if (file !== null) rmSync(file, { force: true })
      },
    },
  }
}

function rowsIn(machine: AclParts['machine']): readonly ListedRow[] {
  const answer = machine.query({ kind: 'rows', scope: { kind: 'prefix', bytes: ACL_PREFIX } })
  if (!('kind' in answer) || answer.kind !== 'rows' || answer.rows === null) {
    throw new Error('the tokens cannot be read')
  }
  return answer.rows
}
