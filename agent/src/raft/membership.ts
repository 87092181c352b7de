import { commitByMajority } from './commit.ts'
import {
  type Configuration,
  encodeConfiguration,
  isJoint,
  isVoter,
  type MembershipChange,
  memberOf,
  planChange,
  votersOf,
} from './configuration.ts'
import { appendOwn, mayAppend, reachesQuorum, trackMembers } from './leading.ts'
import type { Progress } from './progress.ts'
import { completeRound } from './reading.ts'
import { broadcast } from './replication.ts'
import { becomeFollower } from './role.ts'
import type { Core, Leader } from './state.ts'
import { nearest, onTransfer } from './transfer.ts'
import { asLogIndex, type NodeId, type RequestId } from './types.ts'

/** How near to the end of the log a learner has to be, and how often in a row, to become a voter. */
const CAUGHT_UP_ENTRIES = 1_000
const CAUGHT_UP_CHECKS = 2

/** A change of the membership was asked for: appends it, or says why not. */
export function onChange(core: Core, id: RequestId, change: MembershipChange): void {
  const { options, state, log, out } = core
  const leader = mayAppend(core)
  if (typeof leader === 'string') {
    out.add({ kind: 'reject', ids: [id], reason: leader })
    return
  }
  const plan = changePending(core, leader) ? null : planChange(state.configuration, change)
  if (plan === null || (plan.kind === 'changed' && cannotGoOn(core, leader, plan.configuration))) {
    out.add({ kind: 'reject', ids: [id], reason: 'change-pending' })
    return
  }
  if (plan.kind === 'refused') {
    out.add({ kind: 'reject', ids: [id], reason: 'bad-change' })
    return
  }
  if (plan.kind === 'same') {
    out.add({ kind: 'unchanged', id })
    return
  }
  const { configuration } = plan
  if (memberOf(configuration, options.id)?.role !== 'voter') {
    const successor = nearest(leader, votersOf(configuration))
    if (successor !== null) {
      // Who leads the cluster belongs to it: the caller asks the next leader.
      onTransfer(core, successor)
      out.add({ kind: 'reject', ids: [id], reason: 'no-leader' })
      return
    }
  }
  const first = { index: asLogIndex(log.last.index + 1), term: state.term }
  out.add({ kind: 'accepted', first, ids: [id] })
  append(core, leader, configuration)
}

/** The machine holds a new configuration: it is in force from now on. */
export function onConfigurationApplied(core: Core, configuration: Configuration): void {
  const { options, state } = core
  state.configuration = configuration
  const { role } = state
  if (role.kind !== 'follower' && !isVoter(configuration, options.id)) {
    // A leader that has removed itself: it never counts itself again.
    becomeFollower(core, state.term, null)
    return
  }
  if (role.kind !== 'leader') return
  trackMembers(core, role)
  if (role.transfer !== null && !votersOf(configuration).includes(role.transfer.to)) {
    role.transfer = null
  }
  // Fewer voters may be enough for what was waiting.
  commitByMajority(core)
  completeRound(core)
  broadcast(core, role)
}

/** Ends every step: a leader leaves joint consensus by itself, its own or what it found (§6). */
export function leaveJoint(core: Core): void {
  const { role, configuration } = core.state
  if (role.kind !== 'leader' || !isJoint(configuration)) return
  changeBySelf(core, role, { kind: 'leave-joint' })
}

/** Promotes the first learner that kept up; to be called at the pace of heartbeats. */
export function promoteLearners(core: Core): void {
  const { role, configuration } = core.state
  if (role.kind !== 'leader') return
  let ready: NodeId | null = null
  for (const { id, role: memberRole } of configuration.members) {
    const peer = memberRole === 'learner' ? role.progress.get(id) : undefined
    if (peer === undefined) continue
    if (!isCaughtUp(core, peer)) peer.caughtUp = 0
    else if (peer.active) peer.caughtUp++
    if (peer.caughtUp >= CAUGHT_UP_CHECKS) ready ??= id
  }
  if (ready !== null && !isJoint(configuration)) {
    changeBySelf(core, role, { kind: 'promote', id: ready })
  }
}

/** A change that nobody asked for: made when it can be, tried again later otherwise. */
function changeBySelf(core: Core, leader: Leader, change: MembershipChange): void {
  const { configuration } = core.state
  if (isUnapplied(core, leader) || typeof mayAppend(core) === 'string') return
  const plan = planChange(configuration, change)
  if (plan.kind === 'changed') append(core, leader, plan.configuration)
}

function append(core: Core, leader: Leader, configuration: Configuration): void {
  appendOwn(core, [{ kind: 'configuration', payload: encodeConfiguration(configuration) }])
  leader.pendingConfIndex = core.log.last.index
  broadcast(core, leader)
}

/** One change at a time (thesis §4.1); a joint configuration is half of one. */
function changePending(core: Core, leader: Leader): boolean {
  return isUnapplied(core, leader) || isJoint(core.state.configuration)
}

/**
 * An earlier change may be in the log and not in force; or nothing of the own term is committed, so
 * that another leader's change may be (Ongaro, raft-dev 2015).
 */
function isUnapplied({ state, log }: Core, leader: Leader): boolean {
  return state.applied < leader.pendingConfIndex || log.termAt(state.commit) !== state.term
}

/** Whether nothing could commit under this configuration as things are. */
function cannotGoOn(core: Core, leader: Leader, configuration: Configuration): boolean {
  if (lagsBehind(core, leader, configuration)) return true
  // Who is lost already may be removed; removing another one first would stop the cluster.
  return !reachesQuorum(core.options.id, leader, configuration)
}

/** Whether a learner that would vote from now on could hold up commits. */
function lagsBehind(core: Core, leader: Leader, configuration: Configuration): boolean {
  return votersOf(configuration).some(id => {
    const peer = leader.progress.get(id)
    return peer !== undefined && !isVoter(core.state.configuration, id) && !isCaughtUp(core, peer)
  })
}

function isCaughtUp({ log }: Core, peer: Progress): boolean {
  const near = peer.match + CAUGHT_UP_ENTRIES >= log.last.index
  return near && peer.state === 'replicate' && peer.reachable
}
