import type { HeartbeatReply, ReadIndexReply, ReadIndexRequest } from './message.ts'
import { isQuorum } from './quorum.ts'
import { broadcastHeartbeat } from './replication.ts'
import type { Core, Reader, ReadRound } from './state.ts'
import type { LogIndex, RequestId } from './types.ts'

/**
 * Linearizable reads without a log entry (thesis §6.4). A leader notes its commit index, proves by
 * a round of heartbeats that it still led after the read arrived, and only then gives the index
 * out; a follower asks it for the index, and answers itself. One round is under way at a time:
 * reads that arrive meanwhile share the next one.
 */
export function onRead(core: Core, ids: readonly RequestId[]): void {
  const { options, state, out } = core
  if (state.leader === null || state.needsSnapshot || state.standsAside) {
    const elsewhere = state.leader !== null && state.leader !== options.id
    out.add({ kind: 'reject', ids, reason: elsewhere ? 'not-leader' : 'no-leader' })
    return
  }
  const room = roomForReads(core)
  const refused = ids.slice(room)
  if (refused.length > 0) out.add({ kind: 'reject', ids: refused, reason: 'overloaded' })
  for (const id of ids.slice(0, room)) state.reads.waiting.push({ kind: 'own', id })
}

/** A follower asks. Who does not lead, or has no room, stays silent: the follower asks again, under a new context. */
export function onReadIndex(core: Core, { from, context }: ReadIndexRequest): void {
  const { role, reads } = core.state
  if (role.kind !== 'leader' || roomForReads(core) === 0) return
  reads.waiting.push({ kind: 'peer', from, context })
}

/**
 * The machine is not to be trusted any more: its own reads go elsewhere. What peers asked for concerns
 * the log alone.
 */
export function refuseReads(core: Core): void {
  const { reads } = core.state
  const ids = ownIds([...(reads.round?.readers ?? []), ...reads.waiting])
  const ofPeers = (readers: readonly Reader[]) => readers.filter(({ kind }) => kind === 'peer')
  if (reads.round !== null) reads.round = { ...reads.round, readers: ofPeers(reads.round.readers) }
  reads.waiting = ofPeers(reads.waiting)
  if (ids.length > 0) onRead(core, ids)
}

function roomForReads({ options, state }: Core): number {
  const { waiting, round } = state.reads
  return Math.max(0, options.readsMax - waiting.length - (round?.readers.length ?? 0))
}

export function onReadIndexReply(core: Core, { context, index }: ReadIndexReply): void {
  const { round } = core.state.reads
  if (round?.context === context && core.state.role.kind === 'follower') finish(core, round, index)
}

/** A voter followed this leader after the round began. */
export function confirmRound(core: Core, { from, context }: HeartbeatReply): void {
  const { round } = core.state.reads
  if (round === null || round.index === null || round.context !== context) return
  round.confirmed.add(from)
  completeRound(core)
}

/** The round ends once a quorum has confirmed it: an answer came, or the configuration changed. */
export function completeRound(core: Core): void {
  const { round } = core.state.reads
  if (round === null || round.index === null || !isConfirmed(core, round)) return
  finish(core, round, round.index)
}

function isConfirmed({ state }: Core, { confirmed }: ReadRound): boolean {
  return isQuorum(state.configuration, id => confirmed.has(id))
}

/** Ends every step: begins the next round, or gives up what the present leader cannot answer. */
export function advanceReads(core: Core): void {
  const { state } = core
  const { reads } = state
  if (reads.leader !== state.leader || reads.term !== state.term) restart(core)
  if (reads.round !== null || reads.waiting.length === 0) return
  if (state.role.kind === 'leader') beginRound(core)
  else if (state.leader !== null) ask(core)
}

/**
 * An answer got lost: asks again. A new attempt has a new context, and drops the earlier one: sooner
 * than an election timeout, it could drop every answer that is merely slow.
 */
export function retryReads({ options, state }: Core): void {
  const { reads } = state
  if (reads.round === null || state.role.kind === 'leader') return
  reads.round.ticks++
  if (reads.round.ticks < options.electionTicks) return
  reads.waiting.unshift(...reads.round.readers)
  reads.round = null
}

/** Until an entry of its own term is committed, a leader does not know what earlier terms committed. */
function beginRound(core: Core): void {
  const { options, state, log } = core
  if (log.termAt(state.commit) !== state.term) return
  const round = openRound(core, state.commit)
  round.confirmed.add(options.id)
  if (isConfirmed(core, round)) finish(core, round, state.commit)
  else broadcastHeartbeat(core)
}

function ask(core: Core): void {
  const { options, state, out } = core
  const { context } = openRound(core, null)
  if (state.leader === null) return
  out.sendAfterVote({
    kind: 'read-index',
    from: options.id,
    to: state.leader,
    term: state.term,
    context,
  })
}

function openRound({ state }: Core, index: LogIndex | null): ReadRound {
  const { reads } = state
  reads.context++
  const round: ReadRound = {
    context: reads.context,
    index,
    readers: reads.waiting,
    confirmed: new Set(),
    ticks: 0,
  }
  reads.waiting = []
  reads.round = round
  return round
}

function finish(core: Core, round: ReadRound, index: LogIndex): void {
  const { options, state, out } = core
  state.reads.round = null
  const ids = ownIds(round.readers)
  if (ids.length > 0) out.add({ kind: 'read-ready', ids, index })
  for (const reader of round.readers) {
    if (reader.kind === 'own') continue
    out.sendAfterVote({
      kind: 'read-index-reply',
      from: options.id,
      to: reader.from,
      term: state.term,
      context: reader.context,
      index,
    })
  }
}

/** The leader is another one, or none: own reads ask anew or are refused, those of peers ask by themselves. */
function restart({ state, out }: Core): void {
  const { reads } = state
  const ids = ownIds([...(reads.round?.readers ?? []), ...reads.waiting])
  reads.round = null
  reads.term = state.term
  reads.leader = state.leader
  reads.waiting = state.leader === null ? [] : ids.map(id => ({ kind: 'own', id }))
  if (state.leader === null && ids.length > 0) out.add({ kind: 'reject', ids, reason: 'no-leader' })
}

function ownIds(readers: readonly Reader[]): RequestId[] {
  return readers.flatMap(reader => (reader.kind === 'own' ? [reader.id] : []))
}
