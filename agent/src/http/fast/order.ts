import type { Head } from '../head.ts'
import type { Target } from '../raw-target.ts'

/**
 * What may be under way beside a request, of those on the same connection; effects are always as if one came after the
 * other had its answer (RFC 9112, 9.3.2):
 * - `write`: other writes. Each is handed to the node in the moment it is begun, and the log keeps that order; what they
 *   depend on (`cas`, sessions, Idempotency-Key) is looked at when they are applied, in that order.
 * - `look`: others that read what this node has, each in the moment it is begun.
 * - `linearizable`: others that wait for the leader's word in the same way; nothing weaker overtakes them.
 * - `alone`: nothing.
 */
export type Order = 'write' | 'look' | 'linearizable' | 'alone'

/** Parameters after which a read of one key under `/v1/kv/` is neither long, nor large, nor weaker than linearizable. */
const KV_READ: ReadonlySet<string> = new Set(['raw', 'consistent', 'dc', 'pretty'])

/** @param method may be one that the resource has not: then it is refused, alone */
export function orderOf(method: string, head: Head, target: Target): Order {
  switch (target.resource) {
    case 'keys':
      return method === 'POST' ? 'write' : 'alone'
    case 'key':
      return method === 'DELETE' ? 'write' : keyRead(method, head, target)
    case 'kv':
      return method === 'PUT' || method === 'DELETE' ? 'write' : kvRead(method, head, target)
    default:
      return 'alone'
  }
}

/** Whether a request may be carried out twice, of which the later answer is given. */
export function isRepeatable(order: Order): boolean {
  return order === 'look' || order === 'linearizable'
}

function keyRead(method: string, { minIndex }: Head, { query }: Target): Order {
  if (!isRead(method) || minIndex !== null || query.has('max_stale')) return 'alone'
  return query.has('consistent') ? 'linearizable' : 'look'
}

function kvRead(method: string, { minIndex }: Head, { query, key }: Target): Order {
  if (!isRead(method) || minIndex !== null || key.length === 0) return 'alone'
  for (const name of query.keys()) if (!KV_READ.has(name)) return 'alone'
  return 'linearizable'
}

function isRead(method: string): boolean {
  return method === 'GET' || method === 'HEAD'
}
