import type { NodeStatus } from '../node/node-api.ts'

export type Headers = Record<string, string>

/**
 * On every answer. `X-Raft-Leader` is absent while no leader is known, `X-Raft-Staleness-Ms` before the
 * first contact with one.
 * @param shown index of the entry that the answer shows; without it, what this node has applied
 */
export function raftHeaders(status: NodeStatus, shown: number = status.appliedIndex): Headers {
  const headers: Headers = {
    'X-Raft-Index': String(shown),
    'X-Raft-Term': String(status.term),
    'X-Raft-Node': status.id,
    'X-Raft-Served-By': 'agent',
  }
  if (status.leader !== null) headers['X-Raft-Leader'] = status.leader
  if (status.stalenessMs !== null) {
    headers['X-Raft-Staleness-Ms'] = String(Math.ceil(status.stalenessMs))
  }
  return headers
}
