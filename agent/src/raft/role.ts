import { assert } from '../lib/assert.ts'
import { type Core, drawElectionTimeout } from './state.ts'
import { type NodeId, ORIGIN, type Term } from './types.ts'

/** Starts the wait for a leader anew. */
export function restartElectionTimer({ options, state, prng }: Core): void {
  state.electionElapsed = 0
  state.electionTimeout = drawElectionTimeout(options, prng)
}

/** A new term begins without a vote (Figure 2). */
export function enterTerm({ state }: Core, term: Term): void {
  assert(term > state.term, 'a node only moves to a later term')
  state.term = term
  state.vote = null
  state.leader = null
  state.accepted = ORIGIN.index
}

/** Follows `leader` in `term`, or nobody yet. A deposed leader keeps its entries: they may still commit. */
export function becomeFollower(core: Core, term: Term, leader: NodeId | null): void {
  const { state } = core
  const led = state.role.kind === 'leader'
  if (term > state.term) enterTerm(core, term)
  assert(
    state.leader === null || leader === null || state.leader === leader,
    'at most one leader a term',
  )
  state.leader = leader
  state.role = { kind: 'follower' }
  // A deposed leader has been counting ticks for another purpose.
  if (led || leader !== null) restartElectionTimer(core)
}

/** A leader is believed alive for one election timeout after it was heard (§6, thesis §4.2.3). */
export function hearsLeader({ options, state }: Core): boolean {
  if (state.leader === null) return false
  return state.role.kind === 'leader' || state.electionElapsed < options.electionTicks
}
