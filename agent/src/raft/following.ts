import { assert } from '../lib/assert.ts'
import { advanceCommit } from './commit.ts'
import type { AppendEntries, Heartbeat, InstallSnapshot, Message } from './message.ts'
import { becomeFollower } from './role.ts'
import type { Core } from './state.ts'
import { asLogIndex, type LogIndex, type LogPosition, ORIGIN } from './types.ts'

/** §5.3, the receiver's side of AppendEntries. The term is already known to be current. */
export function onAppendEntries(core: Core, message: AppendEntries): void {
  becomeFollower(core, message.term, message.from)
  const { state, log } = core
  assertCommittedStands(core, message)
  // Late or doubled: what is committed is never touched again, only confirmed.
  if (message.prev.index < state.commit) {
    acceptUpTo(core, message, state.commit)
    return
  }
  // A snapshot is about to replace the log: what it then holds answers better.
  if (state.install !== null) return
  if (log.termAt(message.prev.index) !== message.prev.term) {
    refuse(core, message)
    return
  }
  store(core, message)
  const proved = asLogIndex(message.prev.index + message.entries.length)
  // Only what this very message proves: a tail behind it may be another history's (Figure 2, step 5).
  const commit = asLogIndex(Math.min(message.commit, proved))
  const isNotice = message.entries.length === 0 && commit > state.commit
  advanceCommit(core, commit)
  // What it would be answered was said before. Should that be lost, the leader asks again after a heartbeat, with no news.
  if (isNotice && state.accepted === proved) return
  acceptUpTo(core, message, proved)
}

/** The leader lives, and knows that we hold everything up to its `commit`. */
export function onHeartbeat(core: Core, message: Heartbeat): void {
  becomeFollower(core, message.term, message.from)
  assert(message.commit <= core.log.last.index, 'a heartbeat commits only what this node has')
  advanceCommit(core, message.commit)
  core.out.sendAfterVote({
    kind: 'heartbeat-reply',
    from: core.options.id,
    to: message.from,
    term: core.state.term,
    context: message.context,
    lacking: lacking(core),
  })
}

/** The sender leads an older term: our term, in any reply, makes it step down. */
export function answerStaleLeader(core: Core, message: Message): void {
  const { options, state } = core
  core.out.sendAfterVote({
    kind: 'heartbeat-reply',
    from: options.id,
    to: message.from,
    term: state.term,
    context: 0,
    lacking: lacking(core),
  })
}

/** What is being installed already is not asked for again. */
function lacking({ state, log }: Core): LogIndex {
  return state.needsSnapshot && state.install === null ? log.base.index : ORIGIN.index
}

/** Every leader holds what is committed (§5.4.3): one that does not serves another history. */
function assertCommittedStands({ state, log }: Core, { prev, entries }: AppendEntries): void {
  const agrees = ({ index, term }: LogPosition): boolean =>
    index > state.commit || index < log.base.index || log.termAt(index) === term
  assert(agrees(prev) && entries.every(agrees), 'no leader contradicts what is committed')
}

/** Skips what is held already; replaces a conflicting tail; appends the rest (Figure 2, steps 3 and 4). */
function store({ state, log, out }: Core, { entries, term }: AppendEntries): void {
  const at = entries.findIndex(entry => log.termAt(entry.index) !== entry.term)
  const first = entries[at]
  if (first === undefined) return
  const fresh = entries.slice(at)
  assert((fresh.at(-1)?.term ?? term) <= term, 'no entry from a future term')
  assert(first.index > state.commit, 'an entry at or below commitIndex is never replaced')
  const conflict = first.index <= log.last.index ? first.index : null
  if (conflict !== null) log.truncateFrom(conflict)
  log.append(fresh)
  out.wrote(conflict, fresh)
}

/** Says "I hold everything up to `match`", once it is durable. */
export function acceptUpTo(
  { options, state, out }: Core,
  message: AppendEntries | InstallSnapshot,
  match: LogIndex,
): void {
  state.accepted = match
  out.sendAfterEntries(
    {
      kind: 'append-entries-reply',
      from: options.id,
      to: message.from,
      term: state.term,
      match,
    },
    match,
  )
}

/** Names the last entry that may still match, so that the leader skips whole terms. */
function refuse({ options, state, log, out }: Core, message: AppendEntries): void {
  out.sendAfterVote({
    kind: 'append-entries-refusal',
    from: options.id,
    to: message.from,
    term: state.term,
    prevIndex: message.prev.index,
    hint: log.lastAtMost(message.prev),
  })
}
