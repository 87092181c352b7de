import { advanceCommit, commitPosition } from './commit.ts'
import { isVoter, memberOf } from './configuration.ts'
import { becomeLeader } from './leading.ts'
import type { RequestVote, RequestVoteReply } from './message.ts'
import { isQuorum } from './quorum.ts'
import { becomeFollower, enterTerm, hearsLeader, restartElectionTimer } from './role.ts'
import type { Core, RaftOptions } from './state.ts'
import { asTerm, type LogPosition } from './types.ts'

/** No leader was heard for an election timeout: asks first whether a campaign could be won (thesis §9.6). */
export function onElectionTimeout(core: Core): void {
  const { options, state } = core
  restartElectionTimer(core)
  state.leader = null
  if (!mayLead(core)) return
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

/**
 * Only voters lead, with a machine to rely on; and whoever knows of a committed change of the membership has to be under it
 * first, or two majorities could miss one another (etcd#12133, raft#469).
 */
function mayLead({ options, state, log }: Core): boolean {
  if (state.install !== null || state.needsSnapshot || state.standsAside) return false
  if (!isVoter(state.configuration, options.id)) return false
  const own = memberOf(state.configuration, options.id)
  if (own === null || !isMeant(options, own.incarnation)) return false
  return !log.mayConfigure(state.applied, state.commit)
}

/**
 * Whether a configuration that knows this node's name by `incarnation` speaks of this very disk
 * (B17). Who was removed and joined again meets, on its way through the log, configurations of its
 * former self: two such nodes could be a majority of what the cluster once was.
 */
function isMeant(options: RaftOptions, incarnation: string): boolean {
  return incarnation === '' ? options.founder : incarnation === options.incarnation
}

/**
 * The transport saw the leader die: from now on nothing keeps others from being elected, and there is
 * nothing to wait for but the others, who see it too, and one another: a tie costs a whole timeout.
 */
export function onForgetLeader({ options, state, prng }: Core): void {
  if (state.role.kind !== 'follower' || state.leader === null) return
  state.leader = null
  const wait = prng.between(options.heartbeatTicks, Math.ceil(options.electionTicks / 2) + 1)
  state.electionTimeout = Math.min(state.electionTimeout, state.electionElapsed + wait)
}

/**
 * Another node knows this entry to be committed, so it is here too. Without it a change of the
 * membership could leave nobody who can be elected (etcd#12359).
 */
function learnCommit(core: Core, { index, term }: LogPosition): void {
  const { state, log } = core
  if (state.role.kind === 'leader' || index <= state.commit || log.termAt(index) !== term) return
  advanceCommit(core, index)
  if (state.role.kind === 'candidate' && !mayLead(core)) becomeFollower(core, state.term, null)
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
  const { options, state } = core
  // Asked for the vote of another disk under this name: it is not this node's to give.
  if (!isMeant(options, message.incarnation)) return
  learnCommit(core, message.commit)
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
  const { state } = core
  learnCommit(core, message.commit)
  if (state.role.kind !== 'candidate' || state.role.preVote !== message.preVote) return
  const term = message.preVote ? state.term + 1 : state.term
  if (!message.granted || message.term !== term) return
  if (!isVoter(state.configuration, message.from)) return
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

function wins({ state }: Core): boolean {
  const { role, configuration } = state
  return role.kind === 'candidate' && isQuorum(configuration, id => role.granted.has(id))
}

function requestVotes(
  core: Core,
  { preVote, transfer }: { readonly preVote: boolean; readonly transfer: boolean },
): void {
  const { options, state, log, out } = core
  const term = preVote ? asTerm(state.term + 1) : state.term
  for (const { id: to, incarnation } of state.configuration.members) {
    if (to === options.id || !isVoter(state.configuration, to)) continue
    out.sendAfterVote({
      kind: 'request-vote',
      from: options.id,
      to,
      term,
      preVote,
      transfer,
      incarnation,
      last: log.last,
      commit: commitPosition(core),
    })
  }
}

function reply(core: Core, message: RequestVote, granted: boolean): void {
  const { options, state, out } = core
  out.sendAfterVote({
    kind: 'request-vote-reply',
    from: options.id,
    to: message.from,
    // A granted pre-vote speaks of the term asked about, a refusal of our own.
    term: granted ? message.term : state.term,
    preVote: message.preVote,
    granted,
    commit: commitPosition(core),
  })
}
