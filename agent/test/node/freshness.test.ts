import t from 'tap'
import { Freshness } from '../../src/node/freshness.ts'
import type { Message } from '../../src/raft/message.ts'
import { asLogIndex, asNodeId, asTerm } from '../../src/raft/types.ts'
import { configurationOf } from '../raft/harness.ts'

const index = asLogIndex
const leader = asNodeId('leader')
const own = asNodeId('own')

const heartbeat = (commit: number): Message => ({
  kind: 'heartbeat',
  from: leader,
  to: own,
  term: asTerm(1),
  commit: index(commit),
  context: 0,
})
const append = (commit: number): Message => ({
  kind: 'append-entries',
  from: leader,
  to: own,
  term: asTerm(1),
  prev: { index: index(0), term: asTerm(0) },
  entries: [],
  commit: index(commit),
})

t.test('an idle follower is as old as the last heartbeat', async t => {
  const freshness = new Freshness(own)
  freshness.received(append(5), index(5), 1_000)
  freshness.received(heartbeat(5), index(5), 1_100)
  t.equal(freshness.stalenessMs(false, 1_130), 30)
})

t.test('a follower that lags is as old as what it has applied', async t => {
  const freshness = new Freshness(own)
  freshness.received(append(5), index(5), 1_000)
  freshness.received(append(9), index(5), 2_000)
  t.equal(freshness.stalenessMs(false, 2_500), 1_500)
  // Cut to what the follower matches: no proof that there is nothing more.
  freshness.received(heartbeat(5), index(5), 2_600)
  t.equal(freshness.stalenessMs(false, 2_600), 1_600)
  freshness.applied(index(9))
  t.equal(freshness.stalenessMs(false, 2_700), 100)
})

t.test('caught up means: all that was committed when this leader was first heard', async t => {
  const freshness = new Freshness(own)
  freshness.leaderChanged({ leads: false, last: index(3) })
  freshness.received(heartbeat(0), index(3), 1_000)
  t.notOk(freshness.caughtUp(index(3)), 'a heartbeat does not tell the whole commit index')
  freshness.received(append(7), index(3), 1_001)
  t.notOk(freshness.caughtUp(index(6)))
  t.ok(freshness.caughtUp(index(7)))
  freshness.leaderChanged({ leads: false, last: index(7) })
  t.notOk(freshness.caughtUp(index(7)))
})

const heard = (freshness: Freshness, from: string, now: number): void =>
  freshness.received(
    { kind: 'heartbeat-reply', from: asNodeId(from), to: own, term: asTerm(1), context: 0 },
    index(1),
    now,
  )

t.test('a leader is as old as its last word from a majority of the voters', async t => {
  const freshness = new Freshness(own)
  freshness.setConfiguration(configurationOf(['own', 'b', 'c']))
  freshness.leaderChanged({ leads: true, last: index(1) })
  t.equal(freshness.stalenessMs(true, 1_000), null)
  heard(freshness, 'learner', 1_000)
  t.equal(freshness.stalenessMs(true, 1_250), null, 'nobody asks a learner')
  heard(freshness, 'b', 1_000)
  t.equal(freshness.stalenessMs(true, 1_250), 250)
  freshness.setConfiguration(configurationOf(['own', 'b', 'c', 'd']))
  t.equal(freshness.stalenessMs(true, 1_250), null, 'three of four are needed')
  heard(freshness, 'd', 1_200)
  t.equal(freshness.stalenessMs(true, 1_250), 250)
  freshness.setConfiguration(configurationOf(['own']))
  t.equal(freshness.stalenessMs(true, 1_250), 0, 'alone it knows')
})

t.test('in joint consensus a majority of each half counts (§6)', async t => {
  const freshness = new Freshness(own)
  const outgoing = ['own', 'x', 'y'].map(asNodeId)
  freshness.setConfiguration({ ...configurationOf(['own', 'b', 'c']), outgoing })
  freshness.leaderChanged({ leads: true, last: index(1) })
  heard(freshness, 'b', 1_100)
  t.equal(freshness.stalenessMs(true, 1_200), null)
  heard(freshness, 'x', 1_000)
  t.equal(freshness.stalenessMs(true, 1_200), 200, 'the older of the two')
})
