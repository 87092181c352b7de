/** Parameters that several routes have. A test compares all of them with what the routes read. */
import { z } from 'zod'
import { IDEMPOTENCY_KEY } from '../head.ts'
import { header, query } from './operation.ts'

export const index = z.int().min(0)

export const IDEMPOTENCY = header(
  'Idempotency-Key',
  'Drawn anew for each request: however often it is sent, it takes effect once.',
  z.string().regex(IDEMPOTENCY_KEY),
)
export const MIN_INDEX = header(
  'X-Raft-Min-Index',
  "The X-Raft-Index of a write's answer: wait until it can be seen here.",
  index,
)
export const IF_MATCH = header(
  'If-Match',
  'Only if the ETag of the key is this one.',
  z.string().regex(/^"[0-9]+"$/),
)
export const MAX_STALE = query('max_stale', 'Not older than this, such as 500ms; else 503.')
export const STALE = query(
  'stale',
  "From this node's own data; no value. Without: what was answered before shows.",
)
export const CONSISTENT = query('consistent', 'What is done without it too; no value.')
/** Of a blocking query. */
export const BLOCKING = [
  query('index', 'Wait until X-Consul-Index is above this one.', index),
  query('wait', 'How long, such as 30s; at most 10m.'),
]
/** Of whatever is read as Consul reads it. */
export const READ_LEVEL = [STALE, CONSISTENT, MAX_STALE, MIN_INDEX]
