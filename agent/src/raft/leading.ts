import { assert } from '../lib/assert.ts'
import { commitByMajority } from './commit.ts'
import type { Configuration } from './configuration.ts'
import { ENTRY_OVERHEAD_BYTES } from './entry-codec.ts'
import type { Proposal } from './input.ts'
import { entryBytes } from './log.ts'
import type { AppendEntriesRefusal, AppendEntriesReply, HeartbeatReply } from './message.ts'
import { Progress } from './progress.ts'
import { isQuorum } from './quorum.ts'
import { confirmRound } from './reading.ts'
import { broadcast, refill, replicate, send } from './replication.ts'
import { becomeFollower } from './role.ts'
import type { Core, Leader } from './state.ts'
import { handOver } from './transfer.ts'
import { asLogIndex, type Entry, type NodeId, type RequestId } from './types.ts'

const NOTHING = new Uint8Array(0)

/** Won the election of the current term (§5.2). The no-op lets it commit what earlier terms left (§5.4.2, §8). */
export function becomeLeader(core: Core): void {
  const { options, state, log } = core
  assert(state.vote === options.id, 'a leader voted for itself')
  assert(!state.needsSnapshot && !state.standsAside, 'a leader has a machine to rely on')
  state.role = {
    kind: 'leader',
    progress: new Map(),
    uncommitted: [],
    uncommittedBytes: 0,
    pendingConfIndex: log.last.index,
    transfer: null,
  }
  trackMembers(core, state.role)
  state.leader = options.id
  state.electionElapsed = 0
  state.heartbeatElapsed = 0
  appendOwn(core, [{ kind: 'no-op', payload: NOTHING }])
  broadcast(core, state.role)
}

/** Appends what fits the limits; refuses the rest, which then surely never happens. */
export function onPropose(core: Core, proposals: readonly Proposal[]): void {
  appendFitting(core, 'command', proposals)
}

/** An entry that no client waits for: it is subject to the same limits. */
export function onProposeCheck(core: Core, id: RequestId): void {
  appendFitting(core, 'check', [{ id, payload: NOTHING }])
}

function appendFitting(core: Core, kind: Entry['kind'], proposals: readonly Proposal[]): void {
  const { state, log, out } = core
  const ids = proposals.map(proposal => proposal.id)
  const leader = mayAppend(core)
  if (typeof leader === 'string') {
    out.add({ kind: 'reject', ids, reason: leader })
    return
  }
  const accepted = fitting(core, leader, proposals)
  const refused: RequestId[] = ids.slice(accepted)
  if (refused.length > 0) out.add({ kind: 'reject', ids: refused, reason: 'overloaded' })
  if (accepted === 0) return
  const first = { index: asLogIndex(log.last.index + 1), term: state.term }
  out.add({ kind: 'accepted', first, ids: ids.slice(0, accepted) })
  appendOwn(
    core,
    proposals.slice(0, accepted).map(({ payload }) => ({ kind, payload })),
  )
  broadcast(core, leader)
}

/** The leader, if it may take something up now; else why not. */
export function mayAppend(core: Core): Leader | 'not-leader' | 'no-leader' {
  const { role, leader, configuration } = core.state
  if (role.kind !== 'leader') return leader === null ? 'no-leader' : 'not-leader'
  // While the leadership is handed over, and with the connections of a majority lost, nothing can commit: better an honest "no" than a long "perhaps".
  const reached = reachesQuorum(core.options.id, role, configuration)
  return role.transfer === null && reached ? role : 'no-leader'
}

export function onAppendEntriesReply(core: Core, message: AppendEntriesReply): void {
  const found = heard(core, message.from)
  if (found === null) return
  const { leader, peer } = found
  assert(message.match <= core.log.last.index, 'a follower holds nothing that its leader has not')
  peer.matched(message.match, core.log.base.index)
  commitByMajority(core)
  replicate(core, leader, message.from)
  handOver(core, message.from)
}

export function onAppendEntriesRefusal(core: Core, message: AppendEntriesRefusal): void {
  const found = heard(core, message.from)
  if (found === null) return
  const { leader, peer } = found
  // Late: of a message that a later answer has overtaken.
  if (message.prevIndex <= peer.match || peer.state === 'snapshot') return
  if (peer.state === 'probe' && message.prevIndex !== peer.next - 1) return
  // One probe a term at most: our last entry that is not newer than theirs (§5.3).
  const candidate = core.log.lastAtMost(message.hint)
  const next = Math.min(message.prevIndex, candidate.index + 1)
  peer.becomeProbe(asLogIndex(Math.max(next, 1)))
  replicate(core, leader, message.from)
}

/** A follower that answers heartbeats but lacks entries has lost a message: send again. */
export function onHeartbeatReply(core: Core, message: HeartbeatReply): void {
  const found = heard(core, message.from)
  if (found === null) return
  const { leader, peer } = found
  confirmRound(core, message)
  handOver(core, message.from)
  peer.lacking = message.lacking
  refill(core, message.from, peer)
  peer.waiting = false
  if (peer.state === 'replicate' && peer.match < core.log.last.index) {
    // The stream may be stuck behind a lost message: an empty append finds out, whatever the window says.
    if (peer.next > core.log.base.index) send(core, message.from, peer, [])
    // What the empty one would follow is gone from the log: no window may hold back the snapshot.
    else peer.becomeProbe(asLogIndex(peer.match + 1))
  }
  replicate(core, leader, message.from)
}

/** The transport lost messages to this peer: what was on its way has to be found out again. */
export function onUnreachable(core: Core, id: NodeId): void {
  const { role } = core.state
  if (role.kind !== 'leader') return
  const peer = role.progress.get(id)
  if (peer === undefined) return
  peer.reachable = false
  if (peer.state === 'replicate') peer.becomeProbe(asLogIndex(peer.match + 1))
}

/** Check-quorum: a leader that no longer hears a majority steps down, so that clients look elsewhere (thesis §6.2). */
export function checkQuorum(core: Core): void {
  const { options, state } = core
  if (state.role.kind !== 'leader') return
  const { progress } = state.role
  const heard = isQuorum(
    state.configuration,
    id => id === options.id || progress.get(id)?.active === true,
  )
  for (const peer of progress.values()) peer.active = false
  state.electionElapsed = 0
  if (!heard) becomeFollower(core, state.term, null)
}

/** Appends entries of the own term; `broadcast` sends them. */
export function appendOwn(core: Core, parts: readonly Pick<Entry, 'kind' | 'payload'>[]): void {
  const { state, log, out } = core
  assert(state.role.kind === 'leader', 'only a leader appends on its own')
  let index = log.last.index as number
  const entries = parts.map(({ kind, payload }) => {
    return { index: asLogIndex(++index), term: state.term, kind, payload }
  })
  log.append(entries)
  out.wrote(null, entries)
  for (const entry of entries) {
    const bytes = entryBytes(entry)
    state.role.uncommitted.push({ index: entry.index, bytes })
    state.role.uncommittedBytes += bytes
  }
}

/** How many of the proposals may be appended now; the first always may when nothing is uncommitted. */
function fitting({ options }: Core, leader: Leader, proposals: readonly Proposal[]): number {
  let bytes = leader.uncommittedBytes
  let entries = leader.uncommitted.length
  let count = 0
  for (const proposal of proposals) {
    bytes += proposal.payload.length + ENTRY_OVERHEAD_BYTES
    entries++
    if (entries > options.uncommittedEntriesMax) break
    if (bytes > options.uncommittedBytesMax && entries > 1) break
    count++
  }
  return count
}

/** Whether the connections to those who decide under `configuration` stand. */
export function reachesQuorum(
  self: NodeId,
  { progress }: Leader,
  configuration: Configuration,
): boolean {
  return isQuorum(configuration, id => id === self || progress.get(id)?.reachable === true)
}

/** One progress for every member but the leader, in the order of the configuration. */
export function trackMembers({ options, state, log }: Core, leader: Leader): void {
  const before = new Map(leader.progress)
  leader.progress.clear()
  for (const { id } of state.configuration.members) {
    if (id === options.id) continue
    leader.progress.set(id, before.get(id) ?? new Progress(asLogIndex(log.last.index + 1)))
  }
}

function heard(core: Core, from: NodeId): { leader: Leader; peer: Progress } | null {
  const { role } = core.state
  if (role.kind !== 'leader') return null
  const peer = role.progress.get(from)
  if (peer === undefined) return null
  peer.active = true
  peer.reachable = true
  return { leader: role, peer }
}
