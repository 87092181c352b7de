import t from 'tap'
import { asNodeId, ORIGIN } from '../../src/raft/types.ts'
import { alike, Cluster } from './cluster.ts'
import { candidate, ELECTION_TICKS, follower, leader, type Member } from './harness.ts'
import { alive, append, ask, beat, matched, timeoutNow } from './messages.ts'

/** Leads term 2 with 2@2* on all disks. */
function settledLeader(): Member {
  const a = leader({ log: [1], term: 1, commit: 1 })
  for (const peer of 'bc') a.receive(matched(peer, 2, 2))
  a.sent = []
  return a
}

function transferOf(a: Member): unknown {
  const { role } = a.raft.state
  return role.kind === 'leader' ? role.transfer : 'does not lead'
}

t.test('thesis §3.10 a level target is told to campaign at once', async t => {
  const a = settledLeader()
  t.strictSame(a.transfer('b'), ['a→b timeout-now t2'])
})

t.test('thesis §3.10 no proposal is taken meanwhile', async t => {
  const a = settledLeader()
  a.transfer('b')
  t.strictSame(a.propose('x'), ['reject no-leader: 0'])
})

t.test('thesis §3.10 a target that lags is brought level first', async t => {
  const a = settledLeader()
  a.propose('x')
  a.fsync()
  t.strictSame(a.transfer('b'), [])
  t.strictSame(
    a.receive(alive('b', 2)).filter(line => line.includes('timeout')),
    [],
  )
  t.ok(a.receive(matched('b', 2, 3)).includes('a→b timeout-now t2'))
})

t.test('a lost TimeoutNow is sent again with the next answer', async t => {
  const a = settledLeader()
  a.transfer('b')
  t.ok(a.receive(alive('b', 2)).includes('a→b timeout-now t2'))
  t.notOk(a.receive(alive('c', 2)).includes('a→c timeout-now t2'), 'to the target only')
})

t.test(
  'thesis §3.10 the target skips the pre-vote, and its campaign passes stickiness',
  async t => {
    const a = follower({ log: [1], term: 1, commit: 1 })
    a.receive(beat({ from: 'b', term: 1, commit: 1 }))
    t.strictSame(a.receive(timeoutNow('b', 1)), [
      'write t2 vote a commit 1 last 1@1',
      '  then a→b vote-at-once? t2 last 1@1 commit 1@1',
      '  then a→c vote-at-once? t2 last 1@1 commit 1@1',
    ])
    const c = follower({ log: [1], term: 1, commit: 1 })
    c.receive(beat({ from: 'b', term: 1, commit: 1 }))
    t.strictSame(c.receive(ask({ from: 'c', term: 2, last: [1, 1] })), [], 'hears its leader')
    t.strictSame(c.receive(ask({ from: 'c', term: 2, last: [1, 1], transfer: true })), [
      'write t2 vote c commit 1 last 1@1',
      '  then a→c vote t2 yes commit 1@1',
    ])
  },
)

t.test('§5.4.1 the order of the old leader does not excuse an older log', async t => {
  const a = follower({ log: [1, 1], term: 1, commit: 1 })
  a.receive(beat({ from: 'b', term: 1, commit: 1 }))
  const lines = a.receive(ask({ from: 'c', term: 2, last: [1, 1], transfer: true }))
  t.ok(lines.includes('  then a→c vote t2 no commit 1@1'), lines.join('; '))
})

t.test('a campaign without the order of a leader does not claim it', async t => {
  const a = follower({ log: [1], term: 1, commit: 1 })
  t.strictSame(a.untilElection(), [
    'a→b pre-vote? t2 last 1@1 commit 1@1',
    'a→c pre-vote? t2 last 1@1 commit 1@1',
  ])
})

t.test('thesis §3.10 one transfer, one election, no write lost', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.propose('a', 'x')
  cluster.transfer('a', 'c')
  cluster.settle()
  t.equal(cluster.leader, 'c')
  t.equal(cluster.term('a'), 2)
  t.strictSame(new Set(Object.values(cluster.logs())), new Set(['1@1* 2@1=x 3@2*']))
})

t.test('hashicorp/raft#413, #493 a transfer to a dead peer is over within E', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.crash('b')
  cluster.transfer('a', 'b')
  t.strictSame(cluster.propose('a', 'x'), ['reject no-leader: 0'])
  cluster.run(ELECTION_TICKS)
  t.equal(cluster.leader, 'a')
  t.match(cluster.propose('a', 'y'), [/^accepted /])
  cluster.settle()
  cluster.restart('b')
  cluster.run(ELECTION_TICKS)
  t.equal(cluster.leader, 'a', 'what was given up is not resumed')
  t.equal(cluster.term('a'), 1)
})

t.test('a transfer asked for again and again does not close the cluster to writes', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.crash('b')
  cluster.transfer('a', 'b')
  for (let tick = 1; tick < ELECTION_TICKS; tick++) {
    cluster.run(1)
    cluster.transfer('a', 'b')
  }
  cluster.run(1)
  t.match(cluster.propose('a', 'x'), [/^accepted /])
})

t.test('a transfer to nobody, to itself, or by one who does not lead changes nothing', async t => {
  const a = settledLeader()
  for (const to of ['a', 'z']) {
    t.strictSame(a.transfer(to), [])
    t.equal(transferOf(a), null)
  }
  t.match(a.propose('x'), [/^accepted/, /^a→b/, /^a→c/, /^write/])
  const b = follower({ log: [1], term: 1 })
  t.strictSame(b.transfer('b'), [])
  t.strictSame(candidate().transfer('b'), [])
  const alone = leader({}, {}, ['a'])
  t.strictSame(alone.transfer(null), [])
  t.equal(transferOf(alone), null)
})

t.test('without a name the nearest peer that is reached takes over', async t => {
  const a = settledLeader()
  a.propose('x')
  a.fsync()
  a.receive(matched('c', 2, 3))
  t.strictSame(a.transfer(null), ['a→c timeout-now t2'])
  const b = settledLeader()
  b.step({ kind: 'unreachable', peer: asNodeId('b') })
  t.strictSame(b.transfer(null), ['a→c timeout-now t2'])
})

t.test('hashicorp/raft#487 an append right after TimeoutNow does not end the campaign', async t => {
  const a = follower({ log: [1], term: 1, commit: 1 })
  a.receive(beat({ from: 'b', term: 1, commit: 1 }))
  a.receive(timeoutNow('b', 1))
  a.fsync()
  const late = append({ from: 'b', term: 1, prev: [1, 1], entries: [1], commit: 1 })
  t.strictSame(a.receive(late), ['a→b alive t2'])
  t.match(a.raft.state, { term: 2, vote: 'a', role: { kind: 'candidate', preVote: false } })

  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.transfer('a', 'b')
  cluster.deliver(/timeout-now/)
  cluster.tick('a', ELECTION_TICKS - 1)
  cluster.settle()
  t.equal(cluster.leader, 'b')
})

t.test('hashicorp/raft#696 what was begun in one term is forgotten in the next', async t => {
  const a = settledLeader()
  a.transfer('b')
  a.receive(beat({ from: 'c', term: 3 }))
  a.fsync()
  a.untilElection()
  const { term } = a.raft.state
  for (const preVote of [true, false]) {
    a.receive({
      kind: 'request-vote-reply',
      from: asNodeId('b'),
      to: a.options.id,
      term: (term + 1) as typeof term,
      preVote,
      granted: true,
      commit: ORIGIN,
    })
    a.fsync()
  }
  t.equal(transferOf(a), null)
  t.match(a.propose('x').at(0), /^accepted/)
})

t.test('a TimeoutNow that comes late or twice changes nothing', async t => {
  const a = follower({ log: [1], term: 1, commit: 1 })
  a.receive(timeoutNow('b', 1))
  a.fsync()
  a.sent = []
  t.strictSame(a.receive(timeoutNow('b', 1)), [], 'of an older term')
  t.strictSame(a.receive(timeoutNow('b', 2)), [], 'a candidate already')
  t.equal(a.raft.state.term, 2)
})

t.test(
  'a restarted node does not campaign before its machine holds what was committed',
  async t => {
    const a = follower({ log: [1, 1], term: 1, commit: 2, applied: 1 })
    t.equal(a.raft.state.applied, 1)
    t.strictSame(a.receive(timeoutNow('b', 1)), ['apply 2..2: from disk'])
    t.match(a.raft.state, { term: 1, role: { kind: 'follower' } })
  },
)
