import t from 'tap'
import { asNodeId } from '../../src/raft/types.ts'
import { alike, Cluster } from './cluster.ts'
import { candidate, follower, leader } from './harness.ts'
import { alive, beat, matched } from './messages.ts'

t.test('G not-leader: somebody else leads, and nothing happened', async t => {
  const a = follower({ term: 1, vote: 'b' })
  a.receive(beat({ from: 'b', term: 1 }))
  t.strictSame(a.propose('x', 'y'), ['reject not-leader: 0 1'])
  t.equal(a.raft.last.index, 0)
})

t.test('G no-leader: nobody is known to lead', async t => {
  t.strictSame(follower({ term: 1 }).propose('x'), ['reject no-leader: 0'])
  t.strictSame(candidate({ term: 1 }).propose('x'), ['reject no-leader: 0'])
})

t.test(
  'B5 overloaded by count: what fits is accepted, the rest refused before the append',
  async t => {
    const a = leader({ term: 1 }, { uncommittedEntriesMax: 3 })
    t.strictSame(
      a.propose('x', 'y', 'z').filter(line => !line.startsWith('write')),
      ['reject overloaded: 2', 'accepted 2@2: 0 1'],
      'the no-op is the first of three',
    )
    t.equal(a.raft.last.index, 3)
    t.strictSame(a.propose('z'), ['reject overloaded: 0'])
    a.fsync()
    a.receive(matched('b', 2, 3))
    t.equal(a.propose('z')[0], 'accepted 4@2: 0', 'a commit makes room')
  },
)

t.test('B5 overloaded by bytes, entries counted as they count everywhere', async t => {
  const a = leader({ term: 1 }, { uncommittedBytesMax: 50 })
  a.fsync()
  a.receive(matched('b', 2, 1))
  t.equal(a.propose('0123456789')[0], 'accepted 2@2: 0')
  t.strictSame(a.propose('0123456789'), ['reject overloaded: 0'], '31 of 50 are taken')
  a.fsync()
  a.receive(matched('b', 2, 2))
  t.equal(a.propose('0123456789')[0], 'accepted 3@2: 0')
})

t.test('B5 with nothing uncommitted even a larger proposal is accepted', async t => {
  const a = leader({ term: 1 }, { uncommittedBytesMax: 5 })
  t.strictSame(a.propose('0123456789'), ['reject overloaded: 0'], 'the no-op is out')
  a.fsync()
  a.receive(matched('b', 2, 1))
  t.equal(a.propose('0123456789')[0], 'accepted 2@2: 0')
})

t.test('B5 all proposals of a turn are one write', async t => {
  const a = leader({ term: 1 })
  const writes = a.propose('x', 'y', 'z').filter(line => line.startsWith('write'))
  t.strictSame(writes, ['write t2 vote a commit 0 add 2@2=x 3@2=y 4@2=z last 4@2'])
})

t.test('G a majority out of reach is "no" at once, until one peer is heard again', async t => {
  const a = leader({ term: 1 })
  a.step({ kind: 'unreachable', peer: asNodeId('b') })
  t.equal(a.propose('x')[0], 'accepted 2@2: 0', 'a and c are a majority')
  a.step({ kind: 'unreachable', peer: asNodeId('c') })
  t.strictSame(a.propose('y'), ['reject no-leader: 0'])
  t.equal(a.raft.last.index, 2)
  a.receive(alive('c', 2))
  t.equal(a.propose('y')[0], 'accepted 3@2: 0')
})

t.test('unreachable means nothing to a follower, nor of a stranger', async t => {
  t.strictSame(follower().step({ kind: 'unreachable', peer: asNodeId('b') }), [])
  t.strictSame(leader({ term: 1 }).step({ kind: 'unreachable', peer: asNodeId('z') }), [])
})

t.test('G an entry that a later term replaced is applied nowhere', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.isolate('a')
  cluster.propose('a', 'x')
  cluster.settle()
  cluster.elect('b')
  cluster.propose('b', 'y')
  cluster.settle()
  cluster.heal()
  cluster.run(10)
  for (const log of Object.values(cluster.logs())) t.equal(log, '1@1* 2@2* 3@2=y')
})

t.test('an old leader is told the newer term by whomever it still reaches', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.isolate('a')
  cluster.elect('b')
  cluster.heal()
  cluster.tick('a', 2)
  cluster.deliver(/a→. beat/)
  cluster.deliver(/alive t2/)
  t.match(cluster.node('a').raft.state, { term: 2, role: { kind: 'follower' } })
})
