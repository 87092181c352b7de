import t from 'tap'
import type { MembershipChange } from '../../src/raft/configuration.ts'
import { add, addLearners, grow, promote, reconfigure, remove } from './changes.ts'
import { alike, Cluster } from './cluster.ts'
import { ELECTION_TICKS } from './harness.ts'

const E = ELECTION_TICKS

/** Nodes a, b, c … of which the first `voters` vote and the others wait to be added. */
function clusterOf(voters: number, waiting: number): Cluster {
  const starts = alike(voters + waiting)
  return new Cluster(starts, {}, Object.keys(starts).slice(0, voters))
}

/** What is in force on each of these nodes. */
function inForce(cluster: Cluster, names: string): Record<string, string> {
  return Object.fromEntries([...names].map(name => [name, cluster.members(name)]))
}

const alikeOn = (names: string, what: string): Record<string, string> =>
  Object.fromEntries([...names].map(name => [name, what]))

interface SingleServerCase {
  readonly title: string
  /** the first leader's, which only its own log ever sees */
  readonly lost: MembershipChange
  /** the second leader's */
  readonly made: MembershipChange
  readonly after: string
}

const SINGLE_SERVER_CASES: readonly SingleServerCase[] = [
  { title: 'one add, one remove', lost: add('e'), made: remove('a'), after: 'b c d' },
  { title: 'two adds', lost: add('e'), made: add('f'), after: 'a b c d f+' },
  { title: 'two removes', lost: remove('b'), made: remove('a'), after: 'b c d' },
]

for (const { title, lost, made, after } of SINGLE_SERVER_CASES) {
  t.test(`Ongaro, raft-dev 2015, single-server changes: ${title}`, async t => {
    const cluster = clusterOf(4, 2)
    cluster.elect('a')
    cluster.isolate('a')
    t.match(cluster.change('a', lost)[0], /^accepted 2@1/)
    cluster.settle()
    cluster.campaign('b')
    cluster.deliver(/b→[cd] pre-vote\?/)
    cluster.deliver(/→b pre-vote/)
    for (const name of 'bcd') cluster.fsync(name)
    cluster.deliver(/b→[cd] vote\?/)
    for (const name of 'cd') cluster.fsync(name)
    cluster.deliver(/→b vote/)
    t.equal(cluster.leader, 'b')
    t.strictSame(
      cluster.change('b', made),
      ['reject change-pending: 0'],
      'M14: nothing of term 2 is committed yet',
    )
    cluster.settle()
    t.match(cluster.change('b', made)[0], /^accepted 3@2/)
    // b and c hold the change, which with b, c and d is committed.
    cluster.deliver(/b→c append/)
    cluster.heal()
    cluster.campaign('a')
    cluster.settle()
    for (let i = 0; i < 3; i++) {
      cluster.campaign('a')
      cluster.settle()
    }
    t.not(cluster.leader, 'a', 'd holds an entry of term 2 and refuses')
    cluster.run(10 * E)
    t.strictSame(inForce(cluster, 'bcd'), alikeOn('bcd', after))
    t.notOk(cluster.node('a').raft.state.role.kind === 'leader')
    if (after.includes('a')) t.equal(cluster.members('a'), after, 'nothing had to be rolled back')
  })
}

t.test('replace 2 of 3: both majorities decide, and joint consensus is left by itself', async t => {
  const cluster = clusterOf(3, 2)
  cluster.elect('a')
  addLearners(cluster, 'a', 'de')
  t.equal(cluster.members('a'), 'a b c d+ e+')
  t.match(cluster.change('a', reconfigure('ade'))[0], /^accepted/)
  // Without b and c the old half has no majority, without d and e the new one.
  cluster.isolate('b')
  cluster.isolate('c')
  cluster.settle()
  t.equal(cluster.members('a'), 'a b c d+ e+', 'before it applies the old voters decide')
  cluster.heal()
  for (const other of 'acde') cluster.cut('b', other)
  cluster.run(2)
  t.strictSame(inForce(cluster, 'acde'), alikeOn('acde', 'a d e'), 'a and c, then a and d')
  t.match(cluster.node('a').log(), /6@1\[a b- c- d e \(a b c\)\] 7@1\[a d e\]$/)
  cluster.propose('a', 'x')
  cluster.isolate('c')
  cluster.settle()
  t.equal(cluster.node('d').raft.last.index, cluster.node('a').raft.state.commit)
})

t.test('M15: while joint, neither half commits alone', async t => {
  for (const [cut, half] of [
    ['bc', 'the new'],
    ['de', 'the old'],
  ] as const) {
    const cluster = clusterOf(3, 2)
    cluster.elect('a')
    addLearners(cluster, 'a', 'de')
    cluster.change('a', reconfigure('ade'))
    // The joint configuration applies; what follows it does not leave yet.
    cluster.fsync('a')
    for (const name of 'bc') {
      cluster.deliver(new RegExp(`a→${name} append`))
      cluster.fsync(name)
    }
    cluster.deliver(/→a match/)
    t.equal(cluster.members('a'), 'a b- c- d e (a b c)')
    for (const name of cut) cluster.isolate(name)
    const { commit } = cluster.node('a').raft.state
    cluster.propose('a', 'x')
    cluster.settle()
    t.equal(cluster.node('a').raft.state.commit, commit, `${half} half alone`)
    cluster.heal()
    cluster.run(2)
    t.equal(cluster.members('a'), 'a d e')
  }
})

t.test('a new leader that finds joint consensus leaves it', async t => {
  const cluster = clusterOf(3, 2)
  cluster.elect('a')
  addLearners(cluster, 'a', 'de')
  cluster.change('a', reconfigure('ade'))
  cluster.fsync('a')
  cluster.deliver(/a→. append/)
  for (const name of 'bcde') cluster.fsync(name)
  cluster.deliver(/→a match/)
  t.equal(cluster.members('a'), 'a b- c- d e (a b c)')
  cluster.drop(/./)
  cluster.crash('a')
  cluster.run(10 * E)
  const leader = cluster.leader ?? ''
  t.ok('de'.includes(leader), `${leader} leads`)
  t.strictSame(inForce(cluster, 'de'), alikeOn('de', 'a d e'))
  cluster.restart('a')
  cluster.run(2 * E)
  t.equal(cluster.members('a'), 'a d e')
})

t.test(
  'canonical/raft#250: a joint configuration that a new leader overwrites leaves nothing behind',
  async t => {
    const cluster = clusterOf(3, 2)
    cluster.elect('a')
    addLearners(cluster, 'a', 'de')
    cluster.isolate('a')
    cluster.change('a', reconfigure('ade'))
    cluster.settle()
    cluster.elect('b')
    cluster.propose('b', 'x')
    cluster.heal()
    cluster.run(E)
    t.equal(cluster.leader, 'b')
    t.strictSame(new Set(Object.values(cluster.logs())).size, 1)
    t.notMatch(cluster.node('a').log(), /\(a b c\)/)
    t.match(cluster.members('a'), /^a b c d/)
    t.match(cluster.change('b', remove('c'))[0], /^accepted/)
  },
)

t.test('thesis §4.2.2 a leader asked to remove itself: the next leader does it', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  t.ok(cluster.change('a', remove('a')).includes('reject no-leader: 0'))
  cluster.settle()
  const next = cluster.leader ?? ''
  t.ok('bc'.includes(next))
  t.match(cluster.change(next, remove('a'))[0], /^accepted/)
  cluster.run(E)
  t.strictSame(inForce(cluster, 'bc'), alikeOn('bc', 'b c'))
  cluster.isolate('b')
  cluster.propose(next, 'x')
  const { commit } = cluster.node(next).raft.state
  cluster.settle()
  t.equal(cluster.node(next).raft.state.commit, commit, 'two voters, both are needed')
})

t.test('§6 a removed node that never learnt of it disturbs nobody: term + 0', async t => {
  for (const away of [2, 50 * E]) {
    const cluster = new Cluster(alike(4))
    cluster.elect('a')
    cluster.run(2)
    cluster.isolate('d')
    t.match(cluster.change('a', remove('d'))[0], /^accepted/)
    cluster.run(away)
    cluster.heal()
    t.equal(cluster.members('d'), 'a b c d')
    cluster.run(20 * E)
    t.equal(cluster.leader, 'a')
    t.equal(cluster.term('a'), 1)
  }
})

t.test('§6 nor does one that is back in the very tick in which the leader dies', async t => {
  const terms = [true, false].map(back => {
    const cluster = new Cluster(alike(4))
    cluster.elect('a')
    cluster.run(2)
    cluster.isolate('d')
    cluster.change('a', remove('d'))
    cluster.run(50 * E)
    if (back) cluster.heal()
    cluster.crash('a')
    cluster.run(20 * E)
    t.ok('bc'.includes(cluster.leader ?? 'z'))
    return cluster.term('b')
  })
  t.equal(terms[0], terms[1], 'as many terms as without it')
})

t.test('thesis §4.2.1 nodes join one after another and become voters by themselves', async t => {
  const cluster = clusterOf(1, 4)
  cluster.elect('a')
  cluster.propose('a', 'x')
  cluster.settle()
  grow(cluster, 'a', 'bcde')
  t.strictSame(inForce(cluster, 'abcde'), alikeOn('abcde', 'a b c d e'))
  cluster.crash('a')
  cluster.run(10 * E)
  t.ok('bcde'.includes(cluster.leader ?? 'z'))
  for (const [name, log] of Object.entries(cluster.logs())) {
    if (name !== 'a') t.match(log, /^1@1\* 2@1=x /)
  }
})

t.test(
  'etcd#10998: promoted and unaware of it, a node still votes, and the group is not stuck',
  async t => {
    const cluster = clusterOf(2, 1)
    cluster.elect('a')
    addLearners(cluster, 'a', 'c')
    // c holds the promotion and does not know that it is committed; b is gone, and a comes back.
    cluster.change('a', promote('c'))
    cluster.settle()
    t.equal(cluster.members('a'), 'a b c')
    const aware = cluster.node('c')
    cluster.crash('b')
    cluster.crash('a')
    aware.applied.length = 0
    cluster.restart('a')
    cluster.restart('c')
    cluster.run(10 * E)
    t.not(cluster.leader, null, 'a and c are a majority of three')
  },
)

t.test('a learner that has not applied its promotion grants the vote that elects', async t => {
  const cluster = clusterOf(1, 1)
  cluster.elect('a')
  addLearners(cluster, 'a', 'b')
  cluster.change('a', promote('b'))
  cluster.fsync('a')
  cluster.deliver(/a→b append/)
  cluster.fsync('b')
  cluster.drop(/./)
  t.equal(cluster.members('a'), 'a b')
  t.equal(cluster.members('b'), 'a b+')
  cluster.crash('a')
  cluster.restart('a')
  cluster.campaign('a')
  cluster.settle()
  t.equal(cluster.leader, 'a')
  t.equal(cluster.members('b'), 'a b')
})

t.test(
  'etcd#12359, example 1: who lacks the commit of a change learns it and becomes electable',
  async t => {
    const cluster = new Cluster(alike(2))
    cluster.elect('a')
    cluster.run(2)
    // a commits and applies that b is gone; b holds the entry and not its commit. Two voters for b, one for a.
    cluster.change('a', remove('b'))
    cluster.fsync('a')
    cluster.deliver(/a→b append/)
    cluster.fsync('b')
    cluster.deliver(/b→a match/)
    cluster.drop(/./)
    t.equal(cluster.members('a'), 'a')
    t.equal(cluster.members('b'), 'a b')
    cluster.run(5 * E)
    t.equal(cluster.leader, 'a')
    t.equal(cluster.term('a'), 1, 'b does not force it out of office')
  },
)

t.test(
  'B13: three voters, one removed; the one that knows is gone from office, and a leader is found',
  async t => {
    const cluster = new Cluster(alike(4))
    cluster.elect('a')
    cluster.run(2)
    // a, b and c hold "d is removed"; only a knows that it is committed.
    cluster.isolate('d')
    cluster.change('a', remove('d'))
    cluster.fsync('a')
    for (const name of 'bc') {
      cluster.deliver(new RegExp(`a→${name} append`))
      cluster.fsync(name)
    }
    cluster.deliver(/[bc]→a match/)
    cluster.drop(/./)
    t.equal(cluster.members('a'), 'a b c')
    t.equal(cluster.members('b'), 'a b c d')
    cluster.crash('a')
    cluster.restart('a')
    // For a two of {a b c} are enough, for b three of {a b c d}: c and d are gone.
    cluster.crash('c')
    cluster.campaign('b')
    cluster.settle()
    t.equal(cluster.members('b'), 'a b c', 'a told it in its answer')
    cluster.run(10 * E)
    t.ok('ab'.includes(cluster.leader ?? 'z'), 'and two of three elect')
  },
)
