import t from 'tap'
import { alike, Cluster } from './cluster.ts'
import { follower, leader } from './harness.ts'
import { append, ask, matched } from './messages.ts'

t.test('Figure 3, Election Safety: two candidates of one term do not both win', async t => {
  const cluster = new Cluster(alike(4))
  cluster.impatient('a')
  cluster.impatient('b')
  cluster.deliver(/pre-vote\?/)
  cluster.deliver(/pre-vote t/)
  t.match(cluster.node('a').raft.state, { term: 1, vote: 'a' })
  t.match(cluster.node('b').raft.state, { term: 1, vote: 'b' })
  cluster.settle()
  const leaders = [...cluster.nodes.values()].filter(
    ({ raft }) => raft.state.role.kind === 'leader',
  )
  t.ok(leaders.length <= 1)
})

t.test(
  'Figure 3, Leader Append-Only: whatever arrives, a leader deletes nothing of its log',
  async t => {
    const a = leader({ log: [1, 1], term: 1 })
    const lines = [
      ...a.receive(append({ from: 'b', term: 1, prev: [0, 0], entries: [1] })),
      ...a.receive(ask({ from: 'b', term: 1, last: [9, 9] })),
      ...a.receive(ask({ from: 'c', term: 3, last: [9, 9] })),
      ...a.receive(matched('b', 2, 3)),
      ...a.propose('x'),
    ]
    t.notOk(lines.some(line => line.includes(' cut ')))
    t.throws(
      () => a.receive(append({ from: 'b', term: 2, entries: [2] })),
      /at most one leader a term/,
    )
  },
)

t.test('Figure 3, Log Matching: after repair equal (index, term) means equal logs', async t => {
  const cluster = new Cluster({
    a: { log: [1, 1, 2], term: 3 },
    b: { log: [1, 1, 1, 1], term: 3 },
    c: { log: [1], term: 3 },
  })
  cluster.elect('a')
  cluster.run(4)
  t.strictSame(cluster.logs(), {
    a: '1@1 2@1 3@2 4@4*',
    b: '1@1 2@1 3@2 4@4*',
    c: '1@1 2@1 3@2 4@4*',
  })
})

t.test('Figure 3, Leader Completeness: who lacks a committed entry cannot win', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.isolate('c')
  cluster.propose('a', 'x')
  cluster.settle()
  t.equal(cluster.node('a').raft.state.commit, 2)
  cluster.crash('a')
  cluster.heal()
  cluster.campaign('c')
  cluster.settle()
  t.equal(cluster.leader, null)
  cluster.elect('b')
  t.match(cluster.node('c').log(), /^1@1\* 2@1=x/)
})

t.test('Figure 3, State Machine Safety: all apply the same entries in the same order', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.propose('a', 'x')
  cluster.settle()
  cluster.crash('a')
  cluster.elect('b')
  cluster.propose('b', 'y')
  cluster.settle()
  cluster.restart('a')
  cluster.run(10)
  const applied = [...cluster.nodes.values()].map(node => node.applied)
  t.equal(applied[0]?.length, 4)
  t.strictSame(applied[1], applied[0])
  t.strictSame(applied[2], applied[0])
})

t.test(
  'Figure 3, State Machine Safety: who contradicts what is committed stops the node',
  async t => {
    const start = { log: [1, 1, 1], term: 3, vote: 'b', commit: 2 }
    const contradictions = [
      { prev: [2, 2], entries: [3] },
      { prev: [1, 2], entries: [3] },
      { prev: [1, 1], entries: [3] },
      { prev: [0, 0], entries: [1, 3, 3] },
    ] as const
    for (const each of contradictions) {
      const a = follower(start)
      t.throws(() => a.receive(append({ from: 'b', term: 3, ...each })), /committed/)
    }
  },
)
