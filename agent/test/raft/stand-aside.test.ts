import t from 'tap'
import { remove } from './changes.ts'
import {
  candidate,
  ELECTION_TICKS,
  follower,
  HEARTBEAT_TICKS,
  leader,
  type Member,
} from './harness.ts'
import {
  alive,
  append,
  ask,
  askIndex,
  beat,
  grant,
  matched,
  tellIndex,
  timeoutNow,
} from './messages.ts'

const standAside = (a: Member): string[] => a.step({ kind: 'stand-aside' })

/** Leads term 2 with 2@2* on all disks. */
function settledLeader(voters = ['a', 'b', 'c']): Member {
  const a = leader({ log: [1], term: 1, commit: 1 }, {}, voters)
  for (const peer of voters.slice(1)) a.receive(matched(peer, 2, 2))
  a.sent = []
  return a
}

t.test('F quarantine: a follower does not lead, neither by timeout nor by order', async t => {
  const a = follower({ log: [1], term: 1, commit: 1 })
  t.strictSame(standAside(a), [])
  t.strictSame(a.tick(4 * ELECTION_TICKS), [])
  a.receive(beat({ from: 'b', term: 1 }))
  t.strictSame(a.receive(timeoutNow('b', 1)), [])
  t.match(a.raft.state, { standsAside: true, term: 1, role: { kind: 'follower' } })
})

t.test('F quarantine: alone it is a cluster without a leader', async t => {
  const a = follower({ log: [1], term: 1, commit: 1 }, {}, ['a'])
  standAside(a)
  t.strictSame(a.tick(4 * ELECTION_TICKS), [])
  t.equal(a.raft.state.leader, null)
})

t.test('F quarantine: log and vote count, and what is committed is applied', async t => {
  const a = follower({ log: [1], term: 1, commit: 1 })
  standAside(a)
  t.strictSame(a.receive(append({ from: 'b', term: 1, prev: [1, 1], entries: [1], commit: 2 })), [
    'write t1 vote null commit 2 add 2@1 last 2@1',
    '  then a→b match t1 2',
  ])
  t.strictSame(a.fsync(), ['a→b match t1 2', 'apply 2..2: 2@1'])
  t.strictSame(a.receive(ask({ from: 'c', term: 2, last: [2, 1], transfer: true })), [
    'write t2 vote c commit 2 last 2@1',
    '  then a→c vote t2 yes commit 2@1',
  ])
})

t.test('F quarantine: a campaign ends, whatever votes still come', async t => {
  const a = candidate({ log: [1], term: 1, commit: 1 })
  standAside(a)
  t.equal(a.raft.state.role.kind, 'follower')
  a.receive(grant({ from: 'b', term: 2 }))
  a.receive(grant({ from: 'c', term: 2 }))
  t.equal(a.raft.state.role.kind, 'follower')
  const asking = follower({ log: [1], term: 1, commit: 1 })
  asking.untilElection()
  standAside(asking)
  asking.receive(grant({ from: 'b', term: 2, preVote: true }))
  t.match(asking.raft.state, { role: { kind: 'follower' }, term: 1 })
})

t.test('F quarantine: a leader hands over to the best of its peers', async t => {
  const a = settledLeader()
  t.strictSame(standAside(a), ['a→b timeout-now t2'])
  t.strictSame(a.propose('x'), ['reject no-leader: 0'])
  a.receive(ask({ from: 'b', term: 3, last: [2, 2], transfer: true }))
  t.match(a.raft.state, { role: { kind: 'follower' }, term: 3, vote: 'b' })
})

t.test('F quarantine: a successor that does not take over is not waited for', async t => {
  const a = settledLeader()
  standAside(a)
  for (let i = 0; i < ELECTION_TICKS / HEARTBEAT_TICKS; i++) {
    t.equal(a.raft.state.role.kind, 'leader')
    a.tick(HEARTBEAT_TICKS)
    for (const peer of 'bc') a.receive(alive(peer, 2))
  }
  t.match(a.raft.state, { role: { kind: 'follower' }, leader: null, term: 2 })
  t.strictSame(a.tick(4 * ELECTION_TICKS), [])
})

t.test('F quarantine: a leader without a successor steps down at once', async t => {
  const alone = settledLeader(['a'])
  standAside(alone)
  t.match(alone.raft.state, { role: { kind: 'follower' }, leader: null })
  const a = settledLeader()
  for (const { from } of [alive('b', 2), alive('c', 2)]) a.step({ kind: 'unreachable', peer: from })
  standAside(a)
  t.equal(a.raft.state.role.kind, 'follower')
})

t.test('F quarantine: what a leader hands over already goes on', async t => {
  const a = settledLeader()
  a.transfer('c')
  t.strictSame(standAside(a), [])
  t.match(a.raft.state.role, { transfer: { to: 'c' } })
})

t.test('F quarantine: a successor that is removed meanwhile is not waited for', async t => {
  const a = settledLeader(['a', 'b', 'c', 'd'])
  a.change(remove('b'))
  standAside(a)
  t.match(a.raft.state.role, { transfer: { to: 'b' } })
  a.fsync()
  for (const peer of 'cd') a.receive(matched(peer, 2, 3))
  t.equal(a.raft.state.applied, 3)
  t.equal(a.raft.state.role.kind, 'follower')
})

t.test('F quarantine: reads go elsewhere, those under way included', async t => {
  const a = settledLeader()
  a.read(1)
  a.read(2)
  t.strictSame(standAside(a)[0], 'reject no-leader: 1 2')
  t.strictSame(
    a.receive(alive('b', 2, a.context)).filter(line => line.startsWith('read')),
    [],
  )
  t.strictSame(a.read(3), ['reject no-leader: 3'])

  const b = follower({ log: [1], term: 1, commit: 1 })
  b.receive(beat({ from: 'b', term: 1, commit: 1 }))
  b.read(1)
  const { context } = b
  t.strictSame(standAside(b), ['reject not-leader: 1'])
  t.strictSame(b.receive(tellIndex({ from: 'b', term: 1, context, index: 1 })), [])
  t.strictSame(b.read(2), ['reject not-leader: 2'])
})

t.test('F quarantine: what peers ask concerns the log alone', async t => {
  const a = settledLeader()
  a.receive(askIndex({ from: 'c', term: 2, context: 7 }))
  a.read(1)
  standAside(a)
  t.ok(a.receive(alive('b', 2, a.context)).includes('a→c read-index t2 2 round 7'))
})

t.test('F quarantine: a restart has to be told again', async t => {
  const a = follower({ log: [1], term: 1, commit: 1 })
  standAside(a)
  standAside(a)
  a.restart()
  t.equal(a.raft.state.standsAside, false)
})
