import { assert } from '../lib/assert.ts'
import type { Progress } from './progress.ts'
import { quorumIndex } from './quorum.ts'
import { send } from './replication.ts'
import type { Core } from './state.ts'
import type { LogIndex, LogPosition, NodeId } from './types.ts'

/** The commit index only moves forward, and never past the log. */
export function advanceCommit({ state, log }: Core, commit: LogIndex): void {
  if (commit <= state.commit) return
  assert(commit <= log.last.index, 'commitIndex never passes the log')
  state.commit = commit
}

/** The last entry that this node knows to be committed. */
export function commitPosition({ state, log }: Core): LogPosition {
  const term = log.termAt(state.commit)
  assert(term !== null, 'commitIndex never passes the log')
  return { index: state.commit, term }
}

/** Raises the commit index to what a majority holds, if that entry is of the own term (§5.4.2, Figure 8). */
export function commitByMajority(core: Core): void {
  const { options, state, log } = core
  if (state.role.kind !== 'leader') return
  const { progress, uncommitted } = state.role
  // The leader counts its own copy only once it is on its own disk.
  const index = quorumIndex(state.configuration, voter =>
    voter === options.id ? log.durable : matchOf(progress, voter),
  )
  if (index <= state.commit || log.termAt(index) !== state.term) return
  advanceCommit(core, index)
  let done = 0
  while (done < uncommitted.length && (uncommitted[done] as { index: LogIndex }).index <= index) {
    state.role.uncommittedBytes -= (uncommitted[done] as { bytes: number }).bytes
    done++
  }
  uncommitted.splice(0, done)
  // A follower with entries on their way learns the commit index with the next ones; an idle one now.
  for (const [id, peer] of progress) {
    if (peer.state === 'replicate' && peer.idle && peer.match >= index) send(core, id, peer, [])
  }
}

function matchOf(progress: Map<NodeId, Progress>, voter: NodeId): LogIndex {
  const peer = progress.get(voter)
  assert(peer !== undefined, 'a leader tracks every peer')
  return peer.match
}
