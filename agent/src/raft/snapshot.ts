import { assert } from '../lib/assert.ts'
import { advanceCommit } from './commit.ts'
import type { Configuration } from './configuration.ts'
import { acceptUpTo } from './following.ts'
import { onConfigurationApplied } from './membership.ts'
import type { InstallSnapshot, Message } from './message.ts'
import { becomeFollower } from './role.ts'
import type { Core } from './state.ts'
import { asLogIndex, type LogPosition, type NodeId } from './types.ts'

/** Heartbeats until a peer's answer is sure to know of the snapshot that went out; and the pace after a failure. */
const SETTLING_HEARTBEATS = 2

/**
 * §7, the receiver's side: the file is complete and verified, and lies beside the live state. What is
 * committed is never replaced: a snapshot of it is only confirmed, and one whose very position the log
 * holds only moves the commit index. Unless the machine ends before the log begins: then whatever
 * reaches the log is what it needs, and what the log holds behind it stays.
 */
export function onInstallSnapshot(core: Core, message: InstallSnapshot): void {
  becomeFollower(core, message.term, message.from)
  const { state, log } = core
  const { position } = message.header
  assert(position.term <= message.term, 'no snapshot from a future term')
  assert(
    position.index > state.commit ||
      position.index < log.base.index ||
      log.termAt(position.index) === position.term,
    'no leader contradicts what is committed',
  )
  const wanted = state.needsSnapshot && position.index >= log.base.index
  if (position.index <= state.commit && !wanted) {
    acceptUpTo(core, message, state.commit)
    return
  }
  if (log.termAt(position.index) === position.term && !wanted) {
    advanceCommit(core, position.index)
    acceptUpTo(core, message, position.index)
    return
  }
  // One at a time: whoever needs another asks again.
  if (state.install !== null) return
  state.install = {
    header: message.header,
    whenInstalled: [installed(core, message)],
    begun: false,
  }
}

/**
 * Ends every step: begins the install once nothing is under way that touches what it replaces, so that
 * the node need not order them. No entry is written and none is applied until it ends: of what is
 * persisted meanwhile only term and vote are new.
 */
export function beginInstall({ state, log, out }: Core): void {
  const { install } = state
  if (install === null || install.begun) return
  const written = log.durable === log.last.index
  const voteWritten = out.durable.term === state.term && out.durable.vote === state.vote
  if (!written || !voteWritten || state.applied < state.applying) return
  state.install = { ...install, begun: true }
  const { header, whenInstalled } = install
  out.add({ kind: 'install-snapshot', header, whenInstalled })
}

/** The machine is the snapshot's, and so is the log's base; a log that does not hold its position is gone. */
export function onSnapshotInstalled(
  core: Core,
  position: LogPosition,
  configuration: Configuration,
): void {
  const { state, log } = core
  const expected = state.install?.begun === true ? state.install.header.position : null
  assert(
    expected?.index === position.index && expected.term === position.term,
    'what was to be installed is installed',
  )
  assert(position.index > state.applied, 'a snapshot only moves forward')
  const held = state.needsSnapshot && log.termAt(position.index) === position.term
  assert(held || position.index > state.commit, 'a log loses nothing that is committed')
  state.install = null
  state.needsSnapshot = false
  log.reset(position)
  state.commit = asLogIndex(Math.max(state.commit, position.index))
  state.applying = position.index
  state.applied = position.index
  onConfigurationApplied(core, configuration)
}

/** The log below `base` is gone: a peer that needs it gets a snapshot. */
export function onCompacted({ state, log }: Core, base: LogPosition): void {
  assert(base.index <= state.applied, 'only what the machine holds is dropped from the log')
  log.compact(base)
}

/**
 * The transfer to a peer is over. If it arrived, the peer answers once it is installed; should that
 * answer be lost, the next heartbeat's has the leader look where the peer stands.
 */
export function onSnapshotSent({ state, log }: Core, to: NodeId, ok: boolean): void {
  const peer = state.role.kind === 'leader' ? state.role.progress.get(to) : undefined
  if (peer === undefined) return
  peer.sending = false
  peer.settling = SETTLING_HEARTBEATS
  if (peer.state !== 'snapshot') return
  peer.becomeProbe(asLogIndex(ok ? log.base.index + 1 : peer.match + 1))
  peer.waiting = true
}

function installed({ options, state }: Core, { header, from }: InstallSnapshot): Message {
  return {
    kind: 'append-entries-reply',
    from: options.id,
    to: from,
    term: state.term,
    match: header.position.index,
  }
}
