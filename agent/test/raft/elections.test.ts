import t from 'tap'
import { alike, Cluster } from './cluster.ts'
import { candidate, ELECTION_TICKS, follower, leader } from './harness.ts'
import { alive, append, ask, beat, grant, matched } from './messages.ts'
import { show } from './show.ts'

const FIVE = ['a', 'b', 'c', 'd', 'e']

t.test('§5.2 the timeout is drawn from [E, 2E), anew for every wait', async t => {
  const seen = new Set<number>()
  for (let seed = 0; seed < 200; seed++) {
    const { state } = follower({}, { seed }).raft
    t.ok(state.electionTimeout >= ELECTION_TICKS && state.electionTimeout < 2 * ELECTION_TICKS)
    seen.add(state.electionTimeout)
  }
  t.equal(seen.size, ELECTION_TICKS)
  const a = follower()
  const drawn = new Set<number>()
  for (let i = 0; i < 50; i++) {
    a.receive(beat({ from: 'b', term: 1 }))
    drawn.add(a.raft.state.electionTimeout)
  }
  t.ok(drawn.size > 5)
})

t.test('§5.2 nodes that start together have a leader within 10 E', async t => {
  for (const count of [3, 5, 7]) {
    for (let seed = 0; seed < 30; seed++) {
      const cluster = new Cluster(alike(count), { seed })
      cluster.run(10 * ELECTION_TICKS)
      t.not(cluster.leader, null, `${count} nodes, seed ${seed}`)
    }
  }
})

t.test('§5.2 a split vote ends with another election', async t => {
  const cluster = new Cluster(alike(4))
  cluster.impatient('a')
  cluster.impatient('b')
  cluster.deliver(/pre-vote\?/)
  cluster.deliver(/pre-vote t/)
  for (const name of ['a', 'b']) cluster.fsync(name)
  cluster.deliver(/a→c vote|b→d vote/)
  cluster.settle()
  t.equal(cluster.leader, null)
  cluster.run(10 * ELECTION_TICKS)
  t.not(cluster.leader, null)
})

const COMPARISONS = [
  { voter: [], candidate: [0, 0], granted: true },
  { voter: [], candidate: [1, 1], granted: true },
  { voter: [1], candidate: [0, 0], granted: false },
  { voter: [1], candidate: [1, 1], granted: true },
  { voter: [1], candidate: [2, 1], granted: true },
  { voter: [1, 1], candidate: [1, 1], granted: false },
  { voter: [1, 1], candidate: [1, 2], granted: true },
  { voter: [1, 2], candidate: [2, 1], granted: false },
  { voter: [1, 2], candidate: [9, 1], granted: false },
  { voter: [1, 1, 1, 1], candidate: [1, 3], granted: true },
] as const

for (const preVote of [false, true]) {
  t.test(
    `§5.4.1 the later last term wins, then the longer log: ${preVote ? 'pre-' : ''}vote`,
    async t => {
      for (const { voter, candidate: last, granted } of COMPARISONS) {
        const a = follower({ log: voter, term: 4 })
        a.receive(ask({ from: 'b', term: 5, preVote, last }))
        a.fsync()
        t.match(a.sent, [{ kind: 'request-vote-reply', granted }], `${voter} and ${last}`)
      }
    },
  )
}

t.test('§6 who hears a leader ignores a vote of a higher term, and keeps its own', async t => {
  const a = follower({ term: 1, vote: 'b' })
  a.receive(beat({ from: 'b', term: 1 }))
  a.tick(ELECTION_TICKS - 1)
  t.strictSame(a.receive(ask({ from: 'c', term: 7, last: [9, 6] })), [])
  t.equal(a.raft.state.term, 1)
  t.strictSame(a.receive(ask({ from: 'c', term: 2, preVote: true, last: [9, 6] })), [
    'a→c pre-vote t1 no',
  ])
})

t.test('§6 a leader that was not heard for E protects nobody', async t => {
  const a = follower({ term: 1, vote: 'b' })
  a.receive(beat({ from: 'b', term: 1 }))
  a.tick(ELECTION_TICKS)
  a.receive(ask({ from: 'c', term: 7, last: [9, 6] }))
  t.strictSame(a.fsync(), ['a→c vote t7 yes'])
})

t.test('§6 a leader is its own leader: it ignores votes of a higher term', async t => {
  const a = leader({ term: 1 })
  t.strictSame(a.receive(ask({ from: 'c', term: 9, last: [9, 8] })), [])
  t.equal(a.raft.state.role.kind, 'leader')
})

t.test('§6, thesis 9.6: a higher term in an answer still deposes a leader', async t => {
  const a = leader({ term: 1 })
  a.receive(alive('b', 9))
  t.match(a.raft.state, { term: 9, role: { kind: 'follower' } })
})

t.test('thesis 6.2 a leader that hears no majority for E steps down, in its term', async t => {
  const a = leader({ term: 1 }, {}, FIVE)
  // One grace period: the votes have only just arrived.
  a.tick(ELECTION_TICKS)
  t.equal(a.raft.state.role.kind, 'leader')
  a.receive(matched('b', 2, 1))
  a.tick(ELECTION_TICKS)
  t.match(a.raft.state, { term: 2, leader: null, role: { kind: 'follower' } })
  t.strictSame(a.propose('x'), ['reject no-leader: 0'])
})

t.test('thesis 6.2 a leader that hears a majority stays', async t => {
  const a = leader({ term: 1 }, {}, FIVE)
  for (let i = 0; i < 10; i++) {
    a.receive(alive('b', 2))
    a.receive(alive('c', 2))
    a.tick(ELECTION_TICKS)
  }
  t.equal(a.raft.state.role.kind, 'leader')
})

t.test('thesis 9.6 a pre-vote changes neither term nor vote of anybody', async t => {
  const a = follower({ term: 3 })
  t.strictSame(a.receive(ask({ from: 'b', term: 4, preVote: true })), ['a→b pre-vote t4 yes'])
  t.strictSame(a.receive(ask({ from: 'c', term: 4, preVote: true })), ['a→c pre-vote t4 yes'])
  t.match(a.raft.state, { term: 3, vote: null })
  t.strictSame(a.writes, [])
})

t.test(
  'thesis 9.6 unanswered pre-votes are repeated after another timeout, not before',
  async t => {
    const a = follower({ term: 3 })
    const asked = ['a→b pre-vote? t4 last 0@0', 'a→c pre-vote? t4 last 0@0']
    t.strictSame(a.untilElection(), asked)
    t.strictSame(a.tick(ELECTION_TICKS - 1), [])
    t.strictSame(a.untilElection(), asked)
  },
)

t.test('thesis 9.6 a refused pre-vote brings a candidate up to the term it missed', async t => {
  const a = follower({ term: 3 })
  a.untilElection()
  t.strictSame(a.receive(grant({ from: 'b', term: 8, preVote: true, granted: false })), [
    'write t8 vote null commit 0 last 0@0',
  ])
  t.equal(a.raft.state.role.kind, 'follower')
})

t.test('thesis 9.6 pre-votes of another election do not count', async t => {
  const a = follower({ term: 3 })
  a.untilElection()
  a.receive(grant({ from: 'b', term: 3, preVote: true }))
  a.receive(grant({ from: 'b', term: 3 }))
  a.receive(grant({ from: 'c', term: 5, preVote: true }))
  t.match(a.raft.state, { term: 3, role: { kind: 'candidate', preVote: true } })
})

t.test('thesis 9.6 a node that is cut off for 50 E comes back with term + 0', async t => {
  for (const log of ['equal', 'old']) {
    const cluster = new Cluster(alike(3))
    cluster.elect('a')
    cluster.run(3)
    cluster.isolate('c')
    if (log === 'old') cluster.propose('a', 'x')
    cluster.run(50 * ELECTION_TICKS)
    cluster.heal()
    cluster.run(10 * ELECTION_TICKS)
    t.equal(cluster.leader, 'a', `${log} log`)
    t.strictSame(
      [...'abc'].map(name => cluster.term(name)),
      [1, 1, 1],
    )
  }
})

t.test('thesis 9.6 back in the very tick in which the leader dies: one election', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.isolate('c')
  cluster.propose('a', 'x')
  cluster.run(20 * ELECTION_TICKS)
  cluster.heal()
  cluster.crash('a')
  cluster.run(10 * ELECTION_TICKS)
  t.equal(cluster.leader, 'b')
  t.equal(cluster.term('b'), 2)
})

t.test('etcd#8501 nodes whose terms differ elect a leader within 10 E', async t => {
  const cluster = new Cluster({
    a: { log: [1, 1], term: 1 },
    b: { log: [1], term: 6, vote: 'b' },
    c: { log: [1, 1], term: 3 },
  })
  cluster.run(10 * ELECTION_TICKS)
  t.not(cluster.leader, null)
  t.not(cluster.leader, 'b')
})

t.test(
  'openraft#1220, A7: a refusal is no vote, a doubled vote is one, a stranger has none',
  async t => {
    const a = candidate({ term: 1 }, {}, FIVE)
    for (let i = 0; i < 3; i++) {
      a.receive(grant({ from: 'b', term: 2 }))
      a.receive(grant({ from: 'c', term: 2, granted: false }))
      a.receive(grant({ from: 'z', term: 2 }))
      a.receive(grant({ from: 'd', term: 1 }))
      a.receive(grant({ from: 'd', term: 3, preVote: true }))
    }
    t.equal(a.raft.state.role.kind, 'candidate')
    a.receive(grant({ from: 'd', term: 2 }))
    t.equal(a.raft.state.role.kind, 'leader')
  },
)

t.test('A7 doubled pre-votes are one', async t => {
  const a = follower({ term: 1 }, {}, FIVE)
  a.untilElection()
  for (let i = 0; i < 3; i++) a.receive(grant({ from: 'b', term: 2, preVote: true }))
  t.equal(a.raft.state.term, 1)
})

t.test('A4 a candidate counts its own vote only once it is durable', async t => {
  const a = follower({ term: 1 })
  a.untilElection()
  a.receive(grant({ from: 'b', term: 2, preVote: true }))
  a.receive(grant({ from: 'b', term: 2 }))
  t.equal(a.raft.state.role.kind, 'candidate')
  a.fsync()
  t.equal(a.raft.state.role.kind, 'leader')
})

t.test('F, open: no campaign before what was committed at start is applied', async t => {
  const { raft } = follower({ log: [1, 1], term: 1, commit: 2, applied: 0 })
  const ticks = (): Set<string> => {
    const lines = new Set<string>()
    for (let i = 0; i < 4 * ELECTION_TICKS; i++) {
      for (const line of show(raft.step({ kind: 'tick' }))) lines.add(line)
    }
    return lines
  }
  t.strictSame([...ticks()], ['apply 1..2: from disk'])
  raft.step({ kind: 'applied', position: raft.last, configuration: null })
  t.strictSame(
    [...ticks()],
    ['a→b', 'a→c'].map(way => `${way} pre-vote? t2 last 2@1 commit 2@1`),
  )
})

t.test('a candidate that hears the leader of its term by a heartbeat follows it', async t => {
  const a = candidate({ term: 1 })
  a.receive(beat({ from: 'b', term: 2 }))
  t.match(a.raft.state, { role: { kind: 'follower' }, leader: 'b', vote: 'a' })
  t.throws(() => a.receive(append({ from: 'c', term: 2 })), /at most one leader a term/)
})
