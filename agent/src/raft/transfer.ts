import { votersOf } from './configuration.ts'
import { refuseReads } from './reading.ts'
import { becomeFollower } from './role.ts'
import type { Core, Leader } from './state.ts'
import type { NodeId } from './types.ts'

/**
 * Hands the leadership over (thesis §3.10): no new proposals, the target is brought level, then
 * told to campaign at once. Given up after one election timeout, or with the leadership; until then
 * another request changes nothing, so that no number of them keeps writes out for longer.
 * @param wanted null: whoever is reachable and nearest
 */
export function onTransfer(core: Core, wanted: NodeId | null): void {
  const { role, configuration } = core.state
  if (role.kind !== 'leader' || role.transfer !== null) return
  const voters = votersOf(configuration)
  const to = wanted ?? nearest(role, voters)
  if (to === null || !role.progress.has(to) || !voters.includes(to)) return
  role.transfer = { to, ticks: 0 }
  handOver(core, to)
}

/**
 * This node's machine is not to be trusted: it leads no more, and never again. The leadership goes to
 * the best of its peers; if that one does not take it in time, or there is none, to whoever is elected.
 */
export function onStandAside(core: Core): void {
  const { state } = core
  state.standsAside = true
  refuseReads(core)
  onTransfer(core, null)
}

/** Ends every step: whoever stands aside leads only as long as it hands over. */
export function stepAside(core: Core): void {
  const { role, standsAside, term } = core.state
  if (!standsAside || role.kind === 'follower') return
  if (role.kind === 'candidate' || role.transfer === null) becomeFollower(core, term, null)
}

/** The target answered: it may be level now. */
export function handOver({ options, state, log, out }: Core, from: NodeId): void {
  if (state.role.kind !== 'leader' || state.role.transfer?.to !== from) return
  if (state.role.progress.get(from)?.match !== log.last.index) return
  out.sendNow({ kind: 'timeout-now', from: options.id, to: from, term: state.term })
}

/** A target that does not take over in time is not waited for. */
export function giveUpTransfer({ options }: Core, leader: Leader): void {
  if (leader.transfer === null) return
  leader.transfer.ticks++
  if (leader.transfer.ticks >= options.electionTicks) leader.transfer = null
}

/** Of these voters the one that is reached and lacks least; who cannot lead for want of a snapshot is none. */
export function nearest({ progress }: Leader, voters: readonly NodeId[]): NodeId | null {
  let best: NodeId | null = null
  for (const [id, peer] of progress) {
    if (!peer.reachable || peer.lacking > 0 || !voters.includes(id)) continue
    if (best === null || peer.match > (progress.get(best)?.match ?? -1)) best = id
  }
  return best
}
