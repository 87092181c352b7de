import { becomeLeader } from './leading.ts'
import type { RequestVote, RequestVoteReply } from './message.ts'
import { majority } from './quorum.ts'
import { becomeFollower, enterTerm, hearsLeader, restartElectionTimer } from './role.ts'
import type { Core } from './state.ts'
import { asTerm, type LogPosition } from './types.ts'

/** No leader was heard for an election timeout: asks first whether a campaign could be won (thesis §9.6). */
export function onElectionTimeout(core: Core): void {
  const { options, state } = core
  restartElectionTimer(core)
  if (!mayLead(core)) return
  state.leader = null
  state.role = { kind: 'candidate', preVote: true, granted: new Set([options.id]) }
  if (wins(core)) campaign(core, false)
  else requestVotes(core, { preVote: true, transfer: false })
}

/** §5.2: a new term, and the own vote, which counts only once it is on disk. */
function campaign(core: Core, transfer: boolean): void {
  const { options, state } = core
  enterTerm(core, asTerm(state.term + 1))
  state.vote = options.id
  state.role = { kind: 'candidate', preVote: false, granted: new Set() }
  restartElectionTimer(core)
  requestVotes(core, { preVote: false, transfer })
}

/** The leader hands over: it is not asked first whether a campaign could be won (thesis §3.10). */
export function onTimeoutNow(core: Core): void {
  if (core.state.role.kind === 'follower' && mayLead(core)) campaign(core, true)
}

/** What was committed before the start has to be in the machine before this node leads anybody. */
function mayLead({ state }: Core): boolean {
  return state.applied >= state.commitAtStart
}

/** The disk holds {term, vote}: a candidate's own vote counts from now on. */
export function onVoteDurable(core: Core): void {
  const { options, state, out } = core
  if (state.role.kind !== 'candidate' || state.role.preVote) return
  if (out.durable.term !== state.term || out.durable.vote !== options.id) return
  state.role.granted.add(options.id)
  if (wins(core)) becomeLeader(core)
}

/** §5.2, §5.4.1; a pre-vote promises nothing and changes nothing. */
export function onRequestVote(core: Core, message: RequestVote): void {
  const { state } = core
  // Stickiness: who hears a leader helps nobody to depose it (§6), so a rejoining node disturbs no one.
  if (hearsLeader(core) && message.term > state.term && !message.transfer) {
    if (message.preVote) reply(core, message, false)
    return
  }
  if (!message.preVote && message.term > state.term) becomeFollower(core, message.term, null)
  const free = state.vote === null ? state.leader === null : state.vote === message.from
  const inTime = message.term === state.term ? free : message.preVote && message.term > state.term
  const granted = inTime && atLeastAsUpToDate(message.last, core.log.last)
  if (granted && !message.preVote) {
    state.vote = message.from
    restartElectionTimer(core)
  }
  reply(core, message, granted)
}

/** Votes are a set of voters: a doubled reply counts once, and a refusal not at all. */
export function onRequestVoteReply(core: Core, message: RequestVoteReply): void {
  const { options, state } = core
  if (state.role.kind !== 'candidate' || state.role.preVote !== message.preVote) return
  const term = message.preVote ? state.term + 1 : state.term
  if (!message.granted || message.term !== term || !options.voters.includes(message.from)) return
  state.role.granted.add(message.from)
  if (!wins(core)) return
  if (message.preVote) campaign(core, false)
  else becomeLeader(core)
}

/** §5.4.1: the later last term wins, then the longer log; nothing else counts. */
function atLeastAsUpToDate(theirs: LogPosition, ours: LogPosition): boolean {
  if (theirs.term !== ours.term) return theirs.term > ours.term
  return theirs.index >= ours.index
}

function wins({ options, state }: Core): boolean {
  return (
    state.role.kind === 'candidate' && state.role.granted.size >= majority(options.voters.length)
  )
}

function requestVotes(
  { options, state, log, out }: Core,
  { preVote, transfer }: { readonly preVote: boolean; readonly transfer: boolean },
): void {
  const term = preVote ? asTerm(state.term + 1) : state.term
  for (const to of options.voters) {
    if (to === options.id) continue
    out.sendAfterVote({
      kind: 'request-vote',
      from: options.id,
      to,
      term,
      preVote,
      transfer,
      last: log.last,
    })
  }
}

function reply({ options, state, out }: Core, message: RequestVote, granted: boolean): void {
  out.sendAfterVote({
    kind: 'request-vote-reply',
    from: options.id,
    to: message.from,
    // A granted pre-vote speaks of the term asked about, a refusal of our own.
    term: granted ? message.term : state.term,
    preVote: message.preVote,
    granted,
  })
}
