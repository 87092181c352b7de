/** The filler of nginx's memory over a real node. */

import { createHash } from 'node:crypto'
import type { AclSource } from '../acl/acl.ts'
import type { Clock } from '../clock/clock.ts'
import type { ChangeFeed } from '../machine/kv/change-feed.ts'
import type { KvAnswer, KvQuery } from '../machine/kv/query.ts'
import type { Logger } from '../node/logger.ts'
import type { NodeApi } from '../node/node-api.ts'
import type { Identity } from '../raft/types.ts'
import { FORMAT } from './edge-batch.ts'
import { EdgeClient } from './edge-client.ts'
import { EdgeFiller } from './edge-filler.ts'
import { openTo } from './edge-open.ts'
import { spellingOf } from './edge-rows.ts'
import type { EdgeSource } from './edge-source.ts'

export interface EdgeSettings {
  /** where nginx listens for it */
  readonly socket: string
  /** what keys begin with that are kept there; none: all keys */
  readonly prefixes: readonly string[]
  /** what keys begin with that are never kept there; null: none */
  readonly except: Uint8Array | null
  readonly feed: ChangeFeed
  /** the tokens of clients */
  readonly acl: AclSource
  readonly identity: Identity
  /** Changes when what the machine held was given up, and fetched anew. */
  readonly life: string
  readonly node: Pick<NodeApi<KvQuery, KvAnswer>, 'query' | 'status'>
  readonly clock: Clock
  readonly logger: Logger
}

/** Twice as long as a worker of nginx goes on writing. */
const TIMEOUT_MS = 1_000
const PAGE_BYTES = 256 * 1024

export function edgeFiller(settings: EdgeSettings): EdgeFiller {
  const { socket, prefixes, except, identity, life, clock, logger, ...rest } = settings
  const client = new EdgeClient(socket, TIMEOUT_MS)
  const only = prefixes.map(prefix => spellingOf(Buffer.from(prefix, 'utf8')))
  const choice = except === null ? only : [only, spellingOf(except)]
  const kept = createHash('sha256').update(JSON.stringify(choice)).digest('base64url').slice(0, 12)
  return new EdgeFiller({
    // A node that lost its data has another incarnation: its indexes may mean other entries. What nginx was given by a
    // machine that was wrong is not gone on with either.
    sender: {
      epoch: `${FORMAT} ${identity.clusterId} ${identity.incarnation} ${kept} ${life}`.trim(),
      node: identity.nodeId,
      only,
    },
    source: withoutKeys(sourceOf(rest), except),
    post: body => client.post(body),
    clock,
    logger,
  })
}

function sourceOf({ feed, acl, node }: Pick<EdgeSettings, 'feed' | 'acl' | 'node'>): EdgeSource {
  return {
    open: openTo(acl),
    since: () => feed.since,
    last: () => feed.last,
    read: after => feed.read(after, Number.MAX_SAFE_INTEGER),
    listen: moved => feed.follow(moved),
    page: async after => {
      const answer = await node.query({ kind: 'page', after, bytesMax: PAGE_BYTES })
      return answer.kind === 'page' ? answer.rows : []
    },
    stalenessMs: () => node.status().stalenessMs,
    serves: () => node.status().quarantine === null,
  }
}

/** The source as if no key began with `except`. */
export function withoutKeys(source: EdgeSource, except: Uint8Array | null): EdgeSource {
  if (except === null) return source
  const kept = ({ key }: { readonly key: Uint8Array }) =>
    Buffer.compare(key.subarray(0, except.length), except) !== 0
  return {
    ...source,
    read: after =>
      source.read(after)?.map(({ index, changes }) => ({ index, changes: changes.filter(kept) })) ??
      null,
    page: async after => {
      for (let from = after; ; ) {
        const rows = await source.page(from)
        const shown = rows.filter(kept)
        if (rows.length === 0 || shown.length > 0) return shown
        from = rows.at(-1)?.key ?? null
      }
    },
  }
}
