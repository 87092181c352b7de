import { assert } from '../lib/assert.ts'
import type { Input } from './input.ts'
import { entryBytes } from './log.ts'
import type { Progress } from './progress.ts'
import type { Core, Leader } from './state.ts'
import { asLogIndex, type Entry, type LogIndex, type NodeId, ORIGIN } from './types.ts'

type Loaded = Extract<Input, { kind: 'loaded' }>

/** As much to each peer as its state and window allow. */
export function broadcast(core: Core, leader: Leader): void {
  for (const id of leader.progress.keys()) replicate(core, leader, id)
}

/** Sends as much as the peer's state and window allow. */
export function replicate(core: Core, leader: Leader, to: NodeId): void {
  const { options, state, log } = core
  const peer = leader.progress.get(to)
  assert(peer !== undefined, 'a leader tracks every peer')
  while (!peer.paused(options.window)) {
    if (peer.next <= log.base.index) {
      sendSnapshot(core, to, peer)
      return
    }
    if (peer.next > log.last.index) {
      // Nothing to send; a probe still has to find the match, and an idle peer to learn the commit index.
      if (peer.state === 'probe') send(core, to, peer, [])
      else if (peer.idle && peer.commitSent < state.commit) send(core, to, peer, [])
      return
    }
    const entries = log.slice(peer.next, log.last.index, options.messageBytesMax)
    if (entries === null) {
      peer.loading = peer.next
      core.out.add({
        kind: 'load',
        to,
        from: peer.next,
        // What is not on disk yet is in memory, and cannot be read.
        upTo: log.durable,
        term: state.term,
        bytesMax: options.messageBytesMax,
      })
      return
    }
    send(core, to, peer, entries)
  }
}

/** §7. A peer that is not heard would not take it: it is asked for when it answers. */
function sendSnapshot(core: Core, to: NodeId, peer: Progress): void {
  if (!peer.active) return
  peer.becomeSnapshot()
  askForSnapshot(core, to, peer, core.log.base.index)
}

/**
 * The peer's log may be level, but its machine ends before it: entries go on meanwhile, since its
 * acknowledgements count. A leader whose own machine is not that far yet waits for it.
 */
export function refill(core: Core, to: NodeId, peer: Progress): void {
  if (peer.lacking === 0 || peer.settling > 0 || peer.lacking > core.state.applied) return
  askForSnapshot(core, to, peer, peer.lacking)
}

/** One at a time: after its end the peer's next answer says whether it needs another. */
function askForSnapshot({ out }: Core, to: NodeId, peer: Progress, atLeast: LogIndex): void {
  if (peer.sending) return
  peer.sending = true
  out.add({ kind: 'send-snapshot', to, atLeast })
}

/** One AppendEntries; without entries it proves the match, and tells the commit index or asks for an answer. */
export function send(core: Core, to: NodeId, peer: Progress, entries: readonly Entry[]): void {
  const { options, state, log, out } = core
  const prevIndex = asLogIndex(peer.next - 1)
  const prevTerm = log.termAt(prevIndex)
  assert(prevTerm !== null, 'a leader holds every entry before the next one it sends')
  // A question wants an answer: with news it would pass for a notice, which has none.
  const asks = entries.length === 0 && peer.state === 'probe'
  const commit = asks ? ORIGIN.index : state.commit
  const message = {
    kind: 'append-entries',
    from: options.id,
    to,
    term: state.term,
    prev: { index: prevIndex, term: prevTerm },
    entries,
    commit,
  } as const
  if (entries.length === 0 && peer.state === 'replicate' && peer.idle) out.sendSoon(message)
  else out.sendNow(message)
  peer.commitSent = asLogIndex(Math.min(commit, prevIndex + entries.length))
  const last = entries.at(-1)
  if (last !== undefined) {
    peer.sent(
      last.index,
      entries.reduce((sum, entry) => sum + entryBytes(entry), 0),
    )
  } else if (peer.state === 'probe') {
    peer.waiting = true
  }
}

/** The entries that `load` asked for. */
export function onLoaded(core: Core, { to, term, entries }: Loaded): void {
  const { role } = core.state
  // Asked for in an earlier term of office: nobody waits for them.
  if (role.kind !== 'leader' || term !== core.state.term) return
  const peer = role.progress.get(to)
  const first = entries[0]
  if (peer === undefined || peer.loading === null) return
  const gone = first === undefined && peer.loading <= core.log.base.index
  assert(gone || first?.index === peer.loading, 'loaded entries begin where they were asked for')
  assert(areContiguous(entries), 'loaded entries have no gap')
  peer.loading = null
  // Meanwhile an answer may have moved the peer elsewhere, or the log have lost what goes before.
  const wanted = first?.index === peer.next && peer.next > core.log.base.index
  if (wanted && !peer.paused(core.options.window)) send(core, to, peer, entries)
  replicate(core, role, to)
}

function areContiguous(entries: readonly Entry[]): boolean {
  return entries.every((entry, at) => at === 0 || entry.index - 1 === entries[at - 1]?.index)
}

/** Says "I lead" to all (§5.2), and how far each may commit. */
export function broadcastHeartbeat({ options, state, out }: Core): void {
  if (state.role.kind !== 'leader') return
  state.heartbeatElapsed = 0
  for (const [to, peer] of state.role.progress) {
    if (peer.settling > 0) peer.settling--
    const commit = asLogIndex(Math.min(peer.match, state.commit))
    out.sendNow({
      kind: 'heartbeat',
      from: options.id,
      to,
      term: state.term,
      commit,
      context: state.reads.round?.context ?? 0,
    })
  }
}
