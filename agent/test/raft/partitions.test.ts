import t from 'tap'
import { alike, Cluster } from './cluster.ts'
import { ELECTION_TICKS } from './harness.ts'

const E = ELECTION_TICKS

/** Runs for `ticks`; says how often the leader changed and how far the highest term rose. */
function watch(cluster: Cluster, ticks: number): { changes: number; terms: number } {
  const highest = (): number =>
    Math.max(...[...cluster.nodes.keys()].map(name => cluster.term(name)))
  const start = highest()
  let changes = 0
  let leader = cluster.leader
  for (let i = 0; i < ticks; i++) {
    cluster.run(1)
    if (cluster.leader !== leader) changes++
    leader = cluster.leader
  }
  return { changes, terms: highest() - start }
}

t.test('OmniPaxos, quorum-loss: the leader that lost its quorum yields to who has one', async t => {
  const cluster = new Cluster(alike(5))
  cluster.elect('c')
  cluster.onlyLinks('ac', 'ab', 'ad', 'ae')
  cluster.run(10 * E)
  t.equal(cluster.leader, 'a')
  cluster.propose('a', 'x')
  cluster.settle()
  t.equal(cluster.node('a').applied.at(-1)?.term, cluster.term('a'))
  t.strictSame(watch(cluster, 50 * E), { changes: 0, terms: 0 })
})

t.test('OmniPaxos, chained: a leader that reaches a majority stays, term + 0', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('c')
  cluster.run(3)
  cluster.onlyLinks('ab', 'ac')
  t.strictSame(watch(cluster, 50 * E), { changes: 0, terms: 0 })
  t.equal(cluster.leader, 'c')
})

t.test(
  'OmniPaxos, constrained election: no leader, no new terms, nothing lost, and it recovers',
  async t => {
    const cluster = new Cluster(alike(5))
    cluster.elect('c')
    cluster.isolate('a')
    cluster.propose('c', 'x')
    cluster.settle()
    cluster.crash('c')
    cluster.onlyLinks('ab', 'ad', 'ae')
    t.strictSame(watch(cluster, 2 * E).terms, 0)
    t.strictSame(watch(cluster, 50 * E), { changes: 0, terms: 0 })
    t.equal(cluster.leader, null)
    cluster.onlyLinks('ab', 'ad', 'ae', 'bd')
    cluster.run(10 * E)
    t.ok(['b', 'd'].includes(cluster.leader ?? ''))
    cluster.heal()
    cluster.restart('c')
    cluster.run(10 * E)
    for (const log of Object.values(cluster.logs())) t.match(log, /^1@1\* 2@1=x /)
  },
)

t.test('the shape of 2020-11-02: whoever leads, one stable leader', async t => {
  for (const first of 'abcde') {
    const cluster = new Cluster(alike(5))
    cluster.elect(first)
    cluster.onlyLinks('ab', 'ac', 'bc', 'bd', 'ce')
    cluster.run(10 * E)
    t.ok('abc'.includes(cluster.leader ?? 'z'), `${first} led`)
    t.strictSame(watch(cluster, 50 * E), { changes: 0, terms: 0 })
    cluster.heal()
    t.strictSame(watch(cluster, 50 * E), { changes: 0, terms: 0 }, 'nor does healing change it')
  }
})

t.test('a leader cut off from all steps down; the rest has another within 10 E', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.isolate('a')
  cluster.run(2 * E)
  t.equal(cluster.node('a').raft.state.role.kind === 'leader', false)
  cluster.run(8 * E)
  t.ok('bc'.includes(cluster.leader ?? 'z'))
})
