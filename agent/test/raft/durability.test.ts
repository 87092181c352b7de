import t from 'tap'
import { alike, Cluster } from './cluster.ts'
import { follower, leader } from './harness.ts'
import { append, ask, beat, grant, matched } from './messages.ts'

t.test('A1 term-reuse: no RequestVote leaves before {term, vote} is durable', async t => {
  const cluster = new Cluster(alike(3, { log: [1], term: 1, commit: 1 }))
  cluster.slowDisk('a')
  cluster.impatient('a')
  cluster.deliver(/./)
  cluster.deliver(/./)
  t.match(cluster.node('a').raft.state, { term: 2, vote: 'a' })
  // Whatever left by now would let a win term 2 before its disk knows of it.
  cluster.settle()
  t.equal(cluster.leader, null)
  t.strictSame(
    [...'bc'].map(name => cluster.term(name)),
    [1, 1],
  )
  cluster.crash('a')
  cluster.restart('a')
  cluster.fastDisk('a')
  t.equal(cluster.term('a'), 1)
  cluster.elect('a')
  t.equal(cluster.term('a'), 2, 'term 2 is led once')
})

t.test('A1 term-reuse: with the record on disk the next campaign is in the next term', async t => {
  const cluster = new Cluster(alike(3, { log: [1], term: 1, commit: 1 }))
  cluster.elect('a')
  cluster.slowDisk('a')
  cluster.cut('a', 'c')
  cluster.propose('a', 'lost')
  cluster.deliver(/a→b/)
  cluster.crash('a')
  cluster.restart('a')
  cluster.fastDisk('a')
  cluster.heal()
  t.equal(cluster.term('a'), 2)
  cluster.run(30)
  const [first] = Object.values(cluster.logs())
  for (const log of Object.values(cluster.logs())) t.equal(log, first)
})

t.test('A1 every answer of a new term waits for the term', async t => {
  const cases = [
    { message: ask({ from: 'b', term: 5, last: [0, 0] }), answer: 'a→b vote t5 no' },
    {
      message: append({ from: 'b', term: 5, prev: [9, 4] }),
      answer: 'a→b refuse t5 prev 9 hint 1@1',
    },
    { message: append({ from: 'b', term: 5, prev: [1, 1] }), answer: 'a→b match t5 1' },
    { message: beat({ from: 'b', term: 5 }), answer: 'a→b alive t5' },
  ]
  for (const { message, answer } of cases) {
    const a = follower({ log: [1], term: 1 })
    t.strictSame(a.receive(message), ['write t5 vote null commit 0 last 1@1', `  then ${answer}`])
    t.strictSame(a.receive(message), ['await t5 vote null commit 0 last 1@1', `  then ${answer}`])
    t.strictSame(a.fsync(), [answer, answer])
    t.strictSame(a.receive(message), [answer], 'nothing to wait for any more')
  }
})

t.test('A1 a vote is on disk before its answer: a crash between cannot vote twice', async t => {
  const a = follower({ term: 1 })
  a.receive(ask({ from: 'b', term: 2 }))
  a.restart()
  t.match(a.raft.state, { term: 1, vote: null })
  t.strictSame(a.sent, [])
  a.receive(ask({ from: 'c', term: 2 }))
  t.strictSame(a.fsync(), ['a→c vote t2 yes'])
  a.restart()
  t.strictSame(a.receive(ask({ from: 'b', term: 2 })), ['a→b vote t2 no'])
})

t.test('A2, etcd#14370: a node alone commits and applies only after its own fsync', async t => {
  const a = follower({}, {}, ['a'])
  t.strictSame(a.tick(), ['write t1 vote a commit 0 last 0@0'])
  t.strictSame(a.fsync(1), ['write t1 vote a commit 0 add 1@1* last 1@1'])
  t.strictSame(a.fsync(1), ['apply 1..1: 1@1*'])
  t.strictSame(a.propose('x'), ['accepted 2@1: 0', 'write t1 vote a commit 1 add 2@1=x last 2@1'])
  t.equal(a.raft.state.commit, 1)
  t.strictSame(a.fsync(1), ['apply 2..2: 2@1=x'])
})

t.test('A2 a follower applies what is committed only when its own copy is durable', async t => {
  const a = follower({ term: 1, vote: 'b' })
  const lines = a.receive(append({ from: 'b', term: 1, entries: [1], commit: 1 }))
  t.notOk(lines.some(line => line.startsWith('apply')))
  t.equal(a.raft.state.commit, 1)
  t.strictSame(a.fsync(), ['a→b match t1 1', 'apply 1..1: 1@1'])
})

t.test('A3 aba-receipt: a late completion says nothing of the entry that came back', async t => {
  const a = follower({ log: [1], term: 3, vote: 'b' }, {}, ['a', 'b', 'c', 'd', 'e'])
  a.receive(append({ from: 'b', term: 3, prev: [1, 1], entries: [3] }))
  a.receive(append({ from: 'c', term: 4, prev: [1, 1], entries: [4] }))
  a.receive(beat({ from: 'd', term: 5 }))
  const again = append({ from: 'd', term: 5, prev: [1, 1], entries: [3] })
  a.receive(again)
  a.fsync(3)
  t.equal(a.log(), '1@1 2@4', 'what a crash would leave now')
  t.strictSame(a.receive(again), ['await t5 vote null commit 0 last 2@3', '  then a→d match t5 2'])
  t.equal(a.raft.durable, 1)
  t.strictSame(a.fsync(1), ['a→d match t5 2'])
  t.equal(a.log(), '1@1 2@3')
})

t.test('A3 a leader does not count entries by a completion of an earlier term', async t => {
  const a = follower({ log: [1], term: 1, vote: 'b' })
  a.receive(append({ from: 'b', term: 1, prev: [1, 1], entries: [1] }))
  a.untilElection()
  a.receive(grant({ from: 'b', term: 2, preVote: true }))
  a.fsync(1)
  t.equal(a.raft.durable, 1, 'issued in term 1, completed in term 2')
  a.fsync(1)
  t.equal(a.raft.durable, 2, 'the write of the vote attests it anew')
})

t.test('A4, thesis 10.2.1: the leader sends to followers before it writes', async t => {
  const a = leader({ term: 1 })
  a.receive(matched('b', 2, 1))
  a.receive(matched('c', 2, 1))
  t.strictSame(a.propose('x'), [
    'accepted 2@2: 0',
    'a→b append t2 after 1@2: 2@2=x commit 1',
    'a→c append t2 after 1@2: 2@2=x commit 1',
    'write t2 vote a commit 1 add 2@2=x last 2@2',
  ])
})

t.test(
  'A4, thesis 10.2.1: it may commit on followers alone, and apply waits for its own disk',
  async t => {
    const a = leader({ term: 1 })
    a.receive(matched('b', 2, 1))
    a.receive(matched('c', 2, 1))
    a.propose('x')
    a.receive(matched('b', 2, 2))
    t.equal(a.raft.state.commit, 1, 'one copy')
    t.strictSame(a.receive(matched('c', 2, 2)), [
      'a→b append t2 after 2@2: commit 2',
      'a→c append t2 after 2@2: commit 2',
    ])
    t.equal(a.raft.state.commit, 2)
    t.equal(a.raft.state.applied, 1)
    t.strictSame(a.fsync(), ['apply 2..2: 2@2=x'])
  },
)

t.test(
  'A5 a write with entries carries the current commit; commit alone is not written',
  async t => {
    const a = follower({ log: [1, 1], term: 1, vote: 'b' })
    t.strictSame(a.receive(beat({ from: 'b', term: 1, commit: 2 })), [
      'apply 1..2: from disk',
      'a→b alive t1',
    ])
    t.strictSame(a.receive(append({ from: 'b', term: 1, prev: [2, 1], entries: [1] })), [
      'write t1 vote b commit 2 add 3@1 last 3@1',
      '  then a→b match t1 3',
    ])
  },
)

t.test('a deposed leader keeps its entries until another history replaces them', async t => {
  const a = leader({ term: 1 })
  a.propose('x')
  a.receive(beat({ from: 'b', term: 3 }))
  t.equal(a.raft.last.index, 2)
  t.strictSame(a.receive(append({ from: 'b', term: 3, entries: [3] })), [
    'write t3 vote null commit 0 cut 1 add 1@3 last 1@3',
    '  then a→b match t3 1',
  ])
  a.fsync()
  t.equal(a.log(), '1@3')
})

t.test('all nodes killed: what was committed is there again', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.propose('a', 'x')
  cluster.settle()
  for (const name of 'abc') cluster.crash(name)
  for (const name of 'abc') cluster.restart(name)
  cluster.run(100)
  t.not(cluster.leader, null)
  for (const log of Object.values(cluster.logs())) t.match(log, /^1@1\* 2@1=x 3@/)
})
