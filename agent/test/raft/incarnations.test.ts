import t from 'tap'
import { asNodeId } from '../../src/raft/types.ts'
import { configurationOf, ELECTION_TICKS, follower, type Start } from './harness.ts'
import { ask, timeoutNow } from './messages.ts'

/** `a` among a, b, c, as whom the configuration knows it. */
function known(incarnation: string): Start {
  const { members, outgoing } = configurationOf(['a', 'b', 'c'])
  const named = members.map(each => ({
    ...each,
    incarnation: each.id === asNodeId('a') ? incarnation : `i-${each.id}`,
  }))
  return { log: [1], term: 1, commit: 1, configuration: { members: named, outgoing } }
}

t.test('B17 a configuration of the former self of this node gives it no campaign', async t => {
  const former = follower(known('i-old'))
  t.strictSame(former.tick(5 * ELECTION_TICKS), [])
  t.strictSame(former.receive(timeoutNow('b', 1)), [])
  const unnamed = follower(known(''), { founder: false })
  t.strictSame(unnamed.tick(5 * ELECTION_TICKS), [], 'nobody has said yet who it is')
  t.not(follower(known('')).untilElection().length, 0, 'a founder is whom its name says')
  t.not(follower(known('i-a'), { founder: false }).untilElection().length, 0)
})

t.test('B17 a vote asked of the former self of this node is not given', async t => {
  const founder = follower(known('i-a'))
  for (const preVote of [true, false]) {
    const request = { from: 'b', term: 2, preVote, last: [1, 1] as const }
    t.strictSame(founder.receive(ask({ ...request, incarnation: 'i-old' })), [])
    const joined = follower({}, { founder: false })
    t.strictSame(joined.receive(ask({ ...request, incarnation: '' })), [])
    t.equal(joined.raft.state.term, 0, 'nor does it raise the term')
  }
})

t.test(
  'etcd#10998, B17 who is asked by its own incarnation votes, whatever it believes it is',
  async t => {
    const joined = follower({}, { founder: false })
    t.strictSame(joined.receive(ask({ from: 'b', term: 2, last: [1, 1], incarnation: 'i-a' })), [
      'write t2 vote b commit 0 last 0@0',
      '  then a→b vote t2 yes',
    ])
  },
)
