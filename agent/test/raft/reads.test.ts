import t from 'tap'
import { alike, Cluster } from './cluster.ts'
import { ELECTION_TICKS, follower, HEARTBEAT_TICKS, leader, type Member } from './harness.ts'
import { alive, append, askIndex, beat, matched, tellIndex } from './messages.ts'

/** Leads term 2 with 2@2* committed; b and c know it. */
function settledLeader(voters?: string[]): Member {
  const a = leader({ log: [1], term: 1, commit: 1 }, {}, voters)
  for (const peer of (voters ?? ['a', 'b', 'c']).slice(1)) a.receive(matched(peer, 2, 2))
  a.sent = []
  return a
}

/** Follows b in term 2 and holds 1@1 and 2@2. */
function settledFollower(): Member {
  const a = follower({ log: [1], term: 1, commit: 1 })
  a.receive(append({ from: 'b', term: 2, prev: [1, 1], entries: [2], commit: 2 }))
  a.fsync()
  a.sent = []
  return a
}

const led = (cluster: Cluster) => cluster.node('a').raft.state.role.kind === 'leader'

t.test('thesis §6.4 the index is noted, then confirmed by a majority of heartbeats', async t => {
  const a = settledLeader()
  t.strictSame(a.read(1), ['a→b beat t2 commit 2 round 1', 'a→c beat t2 commit 2 round 1'])
  t.strictSame(a.receive(alive('c', 2, a.context)), ['read at 2: 1'])
  t.strictSame(a.receive(alive('b', 2, a.context)), [], 'once')
})

t.test('thesis §6.4 of five, two others must answer', async t => {
  const a = settledLeader(['a', 'b', 'c', 'd', 'e'])
  a.read(1)
  t.strictSame(a.receive(alive('b', 2, a.context)), [])
  t.strictSame(a.receive(alive('b', 2, a.context)), [], 'a doubled answer counts once')
  t.strictSame(a.receive(alive('e', 2, a.context)), ['read at 2: 1'])
})

t.test('thesis §6.4 the index is the commit index of when the round began', async t => {
  const a = settledLeader()
  a.read(1)
  a.propose('x')
  a.fsync()
  a.receive(matched('b', 2, 3))
  t.equal(a.raft.state.commit, 3)
  t.strictSame(a.receive(alive('b', 2, a.context)).at(0), 'read at 2: 1')
})

t.test('thesis §6.4 no index is given out before a commit in the own term', async t => {
  const a = leader({ log: [1, 1], term: 1, commit: 1 })
  t.strictSame(a.read(1), [])
  t.strictSame(
    a.receive(alive('b', 2, 0)).filter(line => /round|read/.test(line)),
    [],
  )
  const lines = a.receive(matched('b', 2, 3))
  t.equal(a.raft.state.commit, 3)
  t.ok(lines.includes('a→b beat t2 commit 3 round 1'), 'the round begins with the commit')
  t.strictSame(a.receive(alive('b', 2, a.context)), ['read at 3: 1'])
})

t.test('thesis §6.4 one round serves all reads that wait', async t => {
  const a = settledLeader()
  a.read(1)
  const first = a.context
  t.strictSame(a.read(2), [], 'one round at a time')
  t.strictSame(a.read(3, 4), [])
  t.strictSame(a.receive(alive('b', 2, first)), [
    'read at 2: 1',
    'a→b beat t2 commit 2 round 2',
    'a→c beat t2 commit 2 round 2',
  ])
  t.strictSame(a.receive(alive('c', 2, first)), [], 'an answer to the earlier round, come late')
  t.strictSame(a.receive(alive('c', 2, a.context)), ['read at 2: 2 3 4'])
})

t.test('thesis §6.4 a heartbeat from before the read confirms nothing', async t => {
  const a = settledLeader()
  a.tick(HEARTBEAT_TICKS)
  a.read(1)
  for (const peer of 'bc') t.strictSame(a.receive(alive(peer, 2, 0)), [])
  t.strictSame(a.tick(HEARTBEAT_TICKS), [
    'a→b beat t2 commit 2 round 1',
    'a→c beat t2 commit 2 round 1',
  ])
  t.strictSame(a.receive(alive('b', 2, a.context)), ['read at 2: 1'])
})

t.test('a context is never used twice, not by another boot either (etcd#20418)', async t => {
  const a = settledLeader()
  const seen = new Set<number>()
  for (let boot = 0; boot < 5; boot++) {
    for (let read = 0; read < 5; read++) {
      a.read(read)
      if (a.raft.state.role.kind === 'leader') a.receive(alive('b', 2, a.context))
      else a.receive(beat({ from: 'b', term: 2 + boot }))
      seen.add(a.context)
    }
    a.restart()
    t.notOk(seen.has(a.context + 1))
    a.receive(beat({ from: 'b', term: 3 + boot }))
    a.fsync()
  }
})

t.test('thesis §6.4 a deposed leader refuses what waits, and confirms nothing more', async t => {
  const a = settledLeader()
  a.read(1)
  a.read(2)
  const { context } = a
  const lines = a.receive(alive('b', 3, context))
  t.ok(lines.includes('reject no-leader: 1 2'), lines.join('; '))
  t.strictSame(a.receive(alive('c', 2, context)), [])
})

t.test('go-dqlite#207 a leader that reaches nobody answers no read', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.isolate('a')
  cluster.read('a', 1)
  for (const name of 'bc') cluster.tick(name, ELECTION_TICKS)
  cluster.drop(/pre-vote/)
  cluster.impatient('b')
  cluster.settle()
  t.equal(cluster.leader, 'b')
  cluster.propose('b', 'new')
  cluster.settle()
  t.ok(led(cluster), 'it does not know yet')
  t.strictSame(cluster.read('a', 2), [])
  const lines = cluster.node('a').tick(2 * ELECTION_TICKS)
  t.ok(lines.includes('reject no-leader: 1 2'), lines.join('; '))
})

t.test('etcd#7331 a new leader does not answer with what it knows to be committed', async t => {
  // b holds the committed 2@1 but not that it is committed.
  const cluster = new Cluster({
    a: { log: [1, 1], term: 1, commit: 2 },
    b: { log: [1, 1], term: 1, commit: 1 },
    c: { log: [1], term: 1, commit: 1 },
  })
  cluster.crash('a')
  cluster.campaign('b')
  cluster.deliver(/pre-vote\?/)
  cluster.deliver(/pre-vote t/)
  cluster.fsync('b')
  cluster.deliver(/vote\?/)
  cluster.fsync('c')
  cluster.deliver(/vote t/)
  t.equal(cluster.leader, 'b')
  t.strictSame(cluster.read('b', 1), [])
  cluster.fsync('b')
  const b = cluster.node('b')
  const state = b.raft.state.reads
  t.match(state, { round: null, waiting: { length: 1 } })
  cluster.settle()
  t.equal(b.raft.state.commit, 3)
  t.equal(b.raft.state.reads.waiting.length, 0)
})

t.test('thesis §6.4 a follower asks for the index only, and answers itself', async t => {
  const a = settledFollower()
  t.strictSame(a.read(1, 2), ['a→b read-index? t2 round 1'])
  t.strictSame(a.read(3), [], 'shares the next question')
  t.strictSame(a.receive(tellIndex({ from: 'b', term: 2, context: a.context, index: 7 })), [
    'read at 7: 1 2',
    'a→b read-index? t2 round 2',
  ])
})

t.test('a leader answers a follower under its context, after a round of its own', async t => {
  const a = settledLeader()
  const lines = a.receive(askIndex({ from: 'c', term: 2, context: 77 }))
  t.strictSame(lines, ['a→b beat t2 commit 2 round 1', 'a→c beat t2 commit 2 round 1'])
  t.strictSame(a.receive(alive('b', 2, a.context)), ['a→c read-index t2 2 round 77'])
})

t.test('a follower without an answer asks again under a new context', async t => {
  const a = settledFollower()
  a.read(1)
  const first = a.context
  const lines: string[] = []
  for (let tick = 0; tick < ELECTION_TICKS; tick++) {
    lines.push(...a.tick())
    a.receive(beat({ from: 'b', term: 2, commit: 2 }))
  }
  t.strictSame(lines, ['a→b read-index? t2 round 2'])
  t.strictSame(
    a.receive(tellIndex({ from: 'b', term: 2, context: first, index: 1 })),
    [],
    'the answer to an earlier attempt, come late, is nobody’s',
  )
  t.strictSame(a.receive(tellIndex({ from: 'b', term: 2, context: a.context, index: 2 })), [
    'read at 2: 1',
  ])
})

t.test('a follower waits for an answer as long as three slow messages need', async t => {
  // The leader is busy with another round: half a round trip, a whole one, another, and half of one.
  const trip = HEARTBEAT_TICKS + 1
  const a = settledFollower()
  a.read(1)
  const { context } = a
  for (let tick = 0; tick < 3 * trip; tick++) {
    a.tick()
    a.receive(beat({ from: 'b', term: 2, commit: 2 }))
  }
  t.strictSame(a.receive(tellIndex({ from: 'b', term: 2, context, index: 2 })), ['read at 2: 1'])
})

t.test('a read of a follower asks the next leader anew', async t => {
  const a = settledFollower()
  a.read(1)
  const { context } = a
  const lines = a.receive(beat({ from: 'c', term: 3, commit: 2 }))
  t.ok(lines.includes('  then a→c read-index? t3 round 2'), lines.join('; '))
  a.fsync()
  t.strictSame(a.receive(tellIndex({ from: 'b', term: 2, context, index: 2 })), [])
})

t.test('a read without a leader is refused, and so is one whose leader is lost', async t => {
  const a = follower({ log: [1], term: 1, commit: 1 })
  t.strictSame(a.read(1), ['reject no-leader: 1'])
  const b = settledFollower()
  b.read(2)
  t.ok(b.untilElection().includes('a→b read-index? t2 round 2'))
  const lines = b.tick(2 * ELECTION_TICKS)
  t.ok(lines.includes('reject no-leader: 2'), lines.join('; '))
})

t.test('a question that comes to a follower gets no answer', async t => {
  const a = settledFollower()
  t.strictSame(a.receive(askIndex({ from: 'c', term: 2, context: 5 })), [])
  t.strictSame(a.raft.state.reads.waiting, [])
})

t.test('a single node confirms by itself, once it has committed in its own term', async t => {
  const a = follower({ log: [1], term: 1, commit: 1 }, {}, ['a'])
  a.tick()
  t.strictSame(a.read(0), ['reject no-leader: 0'], 'not before its vote is durable')
  a.fsync(1)
  t.equal(a.raft.state.role.kind, 'leader')
  t.strictSame(a.read(1), [], 'the no-op is not durable')
  t.ok(a.fsync().includes('read at 2: 1'))
  t.strictSame(a.read(2), ['read at 2: 2'])
})

t.test('etcd#9566 a read lost in a change of leader blocks none behind it', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.read('c', 1)
  cluster.crash('a')
  cluster.run(4 * ELECTION_TICKS)
  t.not(cluster.leader, null)
  cluster.read('c', 2)
  cluster.settle()
  const { round, waiting } = cluster.node('c').raft.state.reads
  t.strictSame({ round, waiting }, { round: null, waiting: [] })
})
