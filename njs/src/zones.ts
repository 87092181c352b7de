/** The zones of nginx's shared memory, as edge-http.conf names them. */

import type { Dict } from './dict.ts'
import type { Pending } from './pending.ts'

export function store(): Dict {
  return ngx.shared.raft_kv as unknown as Dict
}

export function pending(): Pending {
  return ngx.shared.raft_pending as unknown as Pending
}
