import t from 'tap'
import { grow, remove } from './changes.ts'
import { alike, Cluster } from './cluster.ts'
import { ELECTION_TICKS } from './harness.ts'

const E = ELECTION_TICKS

/** Writes one entry after another, and drops the log behind them on these nodes. */
function writeAndCompact(cluster: Cluster, leader: string, on: string, count: number): void {
  for (let i = 0; i < count; i++) {
    cluster.propose(leader, `x${i}`)
    cluster.run(1)
  }
  for (const name of on) cluster.node(name).compact(cluster.node(name).raft.state.applied)
}

/** Every machine holds the same entries. */
function equalMachines(cluster: Cluster): boolean {
  const texts = [...cluster.nodes.values()].map(({ applied }) =>
    applied.map(({ index, term, payload }) => `${index}@${term}=${payload}`).join(' '),
  )
  return new Set(texts).size === 1
}

t.test(
  'slow_follower_after_compaction: the log was cut past it, a snapshot brings it back',
  async t => {
    const cluster = new Cluster(alike(3))
    cluster.elect('a')
    cluster.isolate('c')
    writeAndCompact(cluster, 'a', 'ab', 20)
    cluster.heal()
    cluster.run(3)
    t.equal(cluster.node('c').raft.base.index, cluster.node('a').raft.base.index)
    cluster.propose('a', 'y')
    cluster.run(E)
    t.ok(equalMachines(cluster))
    t.equal(cluster.leader, 'a')
    t.equal(cluster.term('c'), 1)
  },
)

t.test(
  'hashicorp/raft#697: over a log that conflicts, after leading with entries nobody got',
  async t => {
    const cluster = new Cluster(alike(3))
    cluster.elect('c')
    cluster.isolate('c')
    for (let i = 0; i < 30; i++) cluster.propose('c', `lost${i}`)
    cluster.settle()
    cluster.elect('a')
    writeAndCompact(cluster, 'a', 'ab', 5)
    t.ok(cluster.node('c').raft.last.index > cluster.node('a').raft.last.index)
    cluster.heal()
    cluster.run(E)
    cluster.propose('a', 'y')
    cluster.run(E)
    t.ok(equalMachines(cluster))
    t.equal(cluster.node('c').log(), '8@2=y')
  },
)

t.test(
  'hashicorp/raft#212: writes and compactions that go on do not keep a far follower away',
  async t => {
    const cluster = new Cluster(alike(3), { cacheBytesMax: 0 })
    cluster.elect('a')
    cluster.isolate('c')
    writeAndCompact(cluster, 'a', 'ab', 5)
    cluster.heal()
    for (let i = 0; i < 20; i++) writeAndCompact(cluster, 'a', 'ab', 2)
    cluster.run(E)
    t.ok(equalMachines(cluster))
  },
)

t.test(
  'a new member whose predecessors the log no longer has joins by a snapshot, and votes',
  async t => {
    const cluster = new Cluster(alike(4), {}, ['a', 'b', 'c'])
    cluster.elect('a')
    writeAndCompact(cluster, 'a', 'abc', 10)
    grow(cluster, 'a', 'd')
    cluster.run(E)
    t.equal(cluster.members('d'), 'a b c d')
    t.ok(cluster.node('d').raft.base.index > 0)
    t.ok(equalMachines(cluster))
    // It is needed: of a, c and d two would be no majority of four.
    cluster.change('a', remove('b'))
    cluster.run(2)
    cluster.crash('c')
    cluster.propose('a', 'y')
    cluster.run(2)
    t.equal(cluster.node('a').raft.state.commit, cluster.node('a').raft.last.index)
  },
)

t.test('the answer to an install is lost: the leader looks where the peer stands', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.isolate('c')
  writeAndCompact(cluster, 'a', 'ab', 5)
  const a = cluster.node('a')
  const c = cluster.node('c')
  cluster.tick('a', 2)
  cluster.deliver(/a→c beat/)
  cluster.deliver(/c→a alive/)
  cluster.deliver(/a→c append/)
  cluster.deliver(/c→a refuse/)
  t.strictSame(a.lacking.splice(0), ['c'])
  const envelope = { from: a.options.id, to: c.options.id, term: a.raft.state.term }
  c.receive({ kind: 'install-snapshot', ...envelope, header: a.snapshot() })
  a.step({ kind: 'snapshot-sent', to: c.options.id, ok: true })
  t.strictSame(c.install(), ['c→a match t1 6'])
  cluster.fsync('c')
  t.strictSame(cluster.drop(/c→a match/), ['c→a match t1 6'])
  cluster.heal()
  cluster.tick('a', 2)
  cluster.settle()
  t.strictSame(a.lacking, [], 'no second snapshot')
  cluster.propose('a', 'y')
  cluster.run(2)
  t.equal(c.applied.length, 7)
})

t.test(
  'a crash in the middle of an install: the old state, and the snapshot once more',
  async t => {
    const cluster = new Cluster(alike(3))
    cluster.elect('a')
    cluster.isolate('c')
    writeAndCompact(cluster, 'a', 'ab', 5)
    const header = cluster.node('a').snapshot()
    const c = cluster.node('c')
    const { id: from } = cluster.node('a').options
    c.receive({ kind: 'install-snapshot', from, to: c.options.id, term: c.raft.state.term, header })
    t.equal(c.installs.length, 1)
    cluster.crash('c')
    cluster.heal()
    cluster.restart('c')
    t.match(c.raft.state, { install: null, applied: 1 })
    cluster.run(E)
    t.ok(equalMachines(cluster))
  },
)

t.test('a new leader goes on where the old one left a peer waiting for its snapshot', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.isolate('c')
  writeAndCompact(cluster, 'a', 'ab', 5)
  cluster.heal()
  cluster.crash('a')
  cluster.run(10 * E)
  t.equal(cluster.leader, 'b', 'c lacks what is committed')
  cluster.restart('a')
  cluster.run(E)
  t.ok(equalMachines(cluster))
})
