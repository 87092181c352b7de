import t from 'tap'
import { asLogIndex, asNodeId } from '../../src/raft/types.ts'
import { alike, Cluster } from './cluster.ts'
import { candidate, follower, leader, type Member } from './harness.ts'
import { alive, append, grant, matched, refusal } from './messages.ts'

/** A leader of term 2 whose followers are level and idle. */
function settled(limits: Parameters<typeof leader>[1] = {}): Member {
  const a = leader({ term: 1 }, limits)
  a.receive(matched('b', 2, 1))
  a.receive(matched('c', 2, 1))
  return a
}

const toB = (lines: readonly string[]): string[] => lines.filter(line => line.startsWith('a→b'))

t.test('the stream stops at a window of messages and resumes with an answer', async t => {
  const a = settled({ window: { messagesMax: 2, bytesMax: 1000 } })
  t.strictSame(toB(a.propose('x')), ['a→b append t2 after 1@2: 2@2=x commit 1'])
  t.strictSame(toB(a.propose('y')), ['a→b append t2 after 2@2: 3@2=y commit 1'])
  t.strictSame(toB(a.propose('z')), [], 'two messages are on their way')
  t.strictSame(a.receive(matched('b', 2, 2)), ['a→b append t2 after 3@2: 4@2=z commit 1'])
  t.strictSame(a.receive(matched('b', 2, 4)), [])
})

t.test('the stream stops at a window of bytes', async t => {
  const a = settled({ window: { messagesMax: 100, bytesMax: 40 } })
  t.equal(toB(a.propose('x')).length, 1)
  t.equal(toB(a.propose('y')).length, 1, '22 of 40 bytes')
  t.strictSame(toB(a.propose('z')), [], '44 bytes')
  t.strictSame(a.receive(matched('b', 2, 2)), ['a→b append t2 after 3@2: 4@2=z commit 1'])
})

t.test('a message carries up to its limit, and one entry in any case', async t => {
  const a = settled({ messageBytesMax: 45 })
  t.strictSame(toB(a.propose('x', 'y', 'z', '0123456789012345678901234567890123456789')), [
    'a→b append t2 after 1@2: 2@2=x 3@2=y commit 1',
    'a→b append t2 after 3@2: 4@2=z commit 1',
    'a→b append t2 after 4@2: 5@2=0123456789012345678901234567890123456789 commit 1',
  ])
})

t.test(
  'etcd#14633, B4: with a full window an empty append still answers a heartbeat reply',
  async t => {
    const a = settled({ window: { messagesMax: 1, bytesMax: 1000 } })
    a.propose('x')
    a.propose('y')
    t.strictSame(a.receive(alive('b', 2)), ['a→b append t2 after 2@2: commit 1'])
  },
)

t.test('a lost append is found by the answer to a heartbeat, and sent again', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.propose('a', 'x')
  t.equal(cluster.drop(/a→. append/).length, 2)
  cluster.propose('a', 'y')
  t.equal(cluster.drop(/a→. append/).length, 2)
  cluster.settle()
  t.equal(cluster.node('a').raft.state.commit, 1)
  cluster.run(2)
  t.equal(cluster.node('a').raft.state.commit, 3)
  for (const log of Object.values(cluster.logs())) t.equal(log, '1@1* 2@1=x 3@1=y')
})

t.test('a lost answer is found likewise', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.propose('a', 'x')
  cluster.deliver(/a→. append/)
  for (const name of 'abc') cluster.fsync(name)
  t.equal(cluster.drop(/match/).length, 2)
  cluster.run(2)
  t.equal(cluster.node('a').raft.state.commit, 2)
  t.equal(cluster.node('c').raft.state.commit, 2)
})

t.test('a lost "it is committed" is made good by the next heartbeat', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.propose('a', 'x')
  cluster.fsync('a')
  cluster.deliver(/a→. append/)
  for (const name of 'bc') cluster.fsync(name)
  cluster.deliver(/match/)
  t.ok(cluster.drop(/append t1 after 2@1: commit 2/).length >= 1)
  cluster.run(2)
  t.equal(cluster.node('b').raft.state.commit, 2)
  t.equal(cluster.node('c').raft.state.commit, 2)
})

t.test('idle followers hear of a commit at once, not with the next heartbeat', async t => {
  const cluster = new Cluster(alike(3))
  cluster.elect('a')
  cluster.propose('a', 'x')
  cluster.settle()
  for (const { raft } of cluster.nodes.values()) t.equal(raft.state.applied, 2)
})

t.test('B4 a dead peer gets a heartbeat at a time and nothing else', async t => {
  const a = leader({ term: 1 })
  a.receive(matched('b', 2, 1))
  a.receive(matched('c', 2, 1))
  a.step({ kind: 'unreachable', peer: asNodeId('c') })
  const sent: string[] = []
  for (let i = 0; i < 6; i++) {
    sent.push(...a.propose(`${i}`), ...a.tick(2))
    a.receive(alive('b', 2))
  }
  t.strictSame(
    sent.filter(line => line.startsWith('a→c')),
    ['a→c append t2 after 1@2: 2@2=0 commit 1', ...Array(6).fill('a→c beat t2 commit 1')],
    'one probe, whose answer never comes',
  )
})

t.test('B4 a probe that was lost is repeated once a heartbeat is answered', async t => {
  const a = leader({ term: 1 })
  t.strictSame(a.receive(alive('b', 2)), ['a→b append t2 after 0@0: 1@2* commit 0'])
})

t.test(
  'etcd heartbeat_resp_recovers_from_probing: a level peer leaves probe by an answer',
  async t => {
    const a = settled()
    a.step({ kind: 'unreachable', peer: asNodeId('b') })
    t.strictSame(a.receive(alive('b', 2)), ['a→b append t2 after 1@2: commit 0'])
    t.strictSame(a.receive(matched('b', 2, 1)), ['a→b append t2 after 1@2: commit 1'])
    t.strictSame(toB(a.propose('x')), ['a→b append t2 after 1@2: 2@2=x commit 1'])
    t.strictSame(toB(a.propose('y')), ['a→b append t2 after 2@2: 3@2=y commit 1'], 'a stream again')
  },
)

t.test('a probe brings no news, by which it would pass for a notice: it is answered', async t => {
  const a = settled()
  a.propose('x')
  a.receive(matched('b', 2, 2))
  a.step({ kind: 'unreachable', peer: asNodeId('b') })
  a.fsync()
  t.equal(a.raft.state.commit, 2)
  t.strictSame(a.receive(alive('b', 2)), ['a→b append t2 after 2@2: commit 0'])
  const probed = follower({ log: [2, 2], term: 2, vote: 'b', commit: 1 })
  const probe = append({ from: 'b', term: 2, prev: [2, 2] })
  const answer = probed.receive(probe).at(-1)
  t.equal(answer, 'a→b match t2 2')
  t.strictSame(probed.receive(probe), [answer], 'though that was said before')
  const told = 'a→b append t2 after 2@2: commit 2'
  t.strictSame(a.receive(matched('b', 2, 2)), [told], 'the news come behind it')
})

t.test('unreachable: what was on its way is sent again from the match', async t => {
  const a = settled()
  a.propose('x')
  a.propose('y')
  a.step({ kind: 'unreachable', peer: asNodeId('b') })
  t.strictSame(a.receive(alive('b', 2)), ['a→b append t2 after 1@2: 2@2=x 3@2=y commit 1'])
})

t.test(
  '§5.3 a refusal in the stream starts a probe; its double and late ones do nothing',
  async t => {
    const a = settled()
    a.propose('x')
    a.propose('y')
    const lost = refusal({ from: 'b', term: 2, prevIndex: 2, hint: [1, 2] })
    t.strictSame(a.receive(lost), ['a→b append t2 after 1@2: 2@2=x 3@2=y commit 1'])
    t.strictSame(a.receive(lost), [])
    a.receive(matched('b', 2, 3))
    t.strictSame(a.receive(lost), [], 'below what is known to match')
  },
)

t.test('etcd/raft: a doubled answer to a heartbeat does not multiply', async t => {
  const a = settled()
  a.propose('x')
  for (let i = 0; i < 5; i++) {
    t.strictSame(a.receive(alive('b', 2)), ['a→b append t2 after 2@2: commit 1'])
    t.strictSame(a.receive(matched('b', 2, 1)), [], 'the empty append makes no new message')
  }
})

t.test('scylladb#10578, A6: with one entry a message a stale tail is never committed', async t => {
  const cluster = new Cluster(
    {
      a: { log: [1, 1, 2], term: 2 },
      b: { log: [1, 1, 1], term: 2 },
      c: { log: [1, 1, 2], term: 2 },
    },
    { messageBytesMax: 1 },
  )
  cluster.cut('a', 'b')
  cluster.elect('a')
  cluster.settle()
  t.equal(cluster.node('a').raft.state.commit, 4)
  cluster.heal()
  cluster.tick('a', 2)
  const commits: number[] = []
  for (let i = 0; i < 20; i++) {
    cluster.deliver(/./)
    for (const name of 'abc') cluster.fsync(name)
    if (cluster.node('a').loads.length > 0) cluster.node('a').load()
    commits.push(cluster.node('b').raft.state.commit)
    t.ok(cluster.node('b').log().startsWith('1@1 2@1'))
  }
  t.equal(commits.at(-1), 4)
  t.equal(cluster.node('b').log(), '1@1 2@1 3@2 4@3*')
})

t.test('scylladb#10578, A6: an empty append proves nothing behind prev', async t => {
  const a = follower({ log: [1, 1, 1], term: 2, vote: 'b' })
  a.receive(append({ from: 'b', term: 2, prev: [1, 1], commit: 3 }))
  t.equal(a.raft.state.commit, 1)
})

t.test(
  'a notice of the commit index is answered unless its very answer was given in this term',
  async t => {
    const acceptance = ['a→b match t2 3']
    const notice = (commit: number) => append({ from: 'b', term: 2, prev: [3, 1], commit })
    const a = follower({ log: [1, 1, 1], term: 2, vote: 'b' })
    t.strictSame(a.receive(notice(1)).at(-1), acceptance[0], 'a new leader does not know it yet')
    t.strictSame(a.receive(notice(2)), ['apply 2..2: from disk'], 'now it does')
    t.strictSame(a.receive(notice(2)), acceptance, 'it asks again, with no news')
    t.strictSame(a.receive(append({ from: 'b', term: 2, prev: [3, 1], entries: [2] })), [
      'write t2 vote b commit 2 add 4@2 last 4@2',
      '  then a→b match t2 4',
    ])
    t.strictSame(a.fsync(), ['a→b match t2 4'])
    t.strictSame(
      a.receive(notice(3)).at(-1),
      acceptance[0],
      'of another position than was accepted last',
    )
  },
)

t.test(
  'a leader that lost the acceptance asks again after each heartbeat, until it is answered',
  async t => {
    const a = settled()
    a.propose('x')
    a.fsync()
    a.receive(matched('c', 2, 2))
    a.raft.step({ kind: 'unreachable', peer: asNodeId('b') })
    const probe = ['a→b append t2 after 1@2: 2@2=x commit 2']
    t.strictSame(toB(a.receive(alive('b', 2))), probe)
    t.strictSame(a.tick(1), [], 'one at a time')
    t.strictSame(toB(a.receive(alive('b', 2))), probe)
    t.strictSame(toB(a.receive(matched('b', 2, 2))), [], 'and it has nothing more to ask')
  },
)

t.test('A6 a heartbeat commits no further than the match it was sent with', async t => {
  const a = settled()
  a.propose('x')
  a.fsync()
  a.receive(matched('b', 2, 2))
  t.strictSame(a.tick(2), ['a→b beat t2 commit 2', 'a→c beat t2 commit 1'])
})

t.test('A8 a late append below commit is confirmed at commit and changes nothing', async t => {
  const a = follower({ log: [1, 1, 1, 1], term: 1, vote: 'b', commit: 3 })
  t.strictSame(a.receive(append({ from: 'b', term: 1, prev: [0, 0], entries: [1, 1] })), [
    'a→b match t1 3',
  ])
  t.equal(a.raft.last.index, 4)
})

t.test('A8 entries that are held already are skipped', async t => {
  const a = follower({ log: [1, 1, 1], term: 1, vote: 'b' })
  t.strictSame(a.receive(append({ from: 'b', term: 1, prev: [1, 1], entries: [1, 1] })), [
    'a→b match t1 3',
  ])
})

t.test('A9 entries older than the cache are asked from disk, and sent when they come', async t => {
  const a = leader({ log: [1, 1, 1], term: 1 }, { messageBytesMax: 50 })
  t.strictSame(a.receive(refusal({ from: 'b', term: 2, prevIndex: 3, hint: [1, 1] })), [
    'load for b t2 2..4 max 50',
  ])
  t.strictSame(a.receive(alive('b', 2)), [], 'one load at a time')
  t.strictSame(a.load(), ['a→b append t2 after 1@1: 2@1 3@1 commit 0'])
  t.strictSame(a.receive(matched('b', 2, 3)), ['a→b append t2 after 3@1: 4@2* commit 0'])
})

t.test('A9, openraft#1795: loaded entries that begin elsewhere stop the node', async t => {
  const a = leader({ log: [1, 1, 1], term: 1 })
  a.receive(refusal({ from: 'b', term: 2, prevIndex: 3, hint: [1, 1] }))
  const load = a.loads[0]
  const loaded = { kind: 'loaded', to: asNodeId('b'), term: a.raft.state.term } as const
  t.ok(load)
  t.throws(
    () => a.step({ ...loaded, entries: a.image.slice(asLogIndex(3), asLogIndex(3)) }),
    /begin where/,
  )
  t.throws(() => a.step({ ...loaded, entries: [] }), /begin where/)
})

t.test('A9 an answer to an earlier term of office is dropped', async t => {
  const a = leader({ log: [1, 1, 1], term: 1 })
  const refused = { from: 'b', prevIndex: 3, hint: [0, 0] } as const
  a.receive(refusal({ ...refused, term: 2 }))
  a.receive(append({ from: 'b', term: 3, prev: [1, 1], entries: [3, 3] }))
  a.untilElection()
  a.receive(grant({ from: 'c', term: 4, preVote: true }))
  a.fsync()
  a.receive(grant({ from: 'c', term: 4 }))
  a.receive(refusal({ ...refused, term: 4 }))
  t.match(a.loads, [
    { from: 1, term: 2 },
    { from: 1, term: 4 },
  ])
  t.strictSame(a.load(), [])
  t.strictSame(a.load(), ['a→b append t4 after 0@0: 1@1 2@3 3@3 commit 0'])
})

t.test('A9 the cache is trimmed to its limit', async t => {
  const a = settled({ cacheBytesMax: 60 })
  for (const text of ['v', 'w', 'x', 'y', 'z']) {
    a.propose(text)
    a.fsync()
  }
  a.receive(matched('c', 2, 6))
  t.equal(a.raft.state.applied, 6)
  a.step({ kind: 'unreachable', peer: asNodeId('b') })
  t.strictSame(toB(a.receive(alive('b', 2))), [])
  t.match(a.loads, [{ to: 'b', from: 2, upTo: 6 }])
  t.strictSame(a.load(), ['a→b append t2 after 1@2: 2@2=v 3@2=w 4@2=x 5@2=y 6@2=z commit 6'])
})

t.test('A9 the cache keeps what is not applied, whatever its limit', async t => {
  const a = settled({ cacheBytesMax: 0 })
  a.propose('x')
  a.propose('y', 'z')
  a.fsync()
  a.receive(matched('c', 2, 2))
  t.equal(a.raft.state.applied, 2)
  a.step({ kind: 'unreachable', peer: asNodeId('c') })
  t.strictSame(a.receive(alive('c', 2)), ['a→c append t2 after 2@2: 3@2=y 4@2=z commit 2'])
})

t.test('the window is empty again after a probe: what was lost does not fill it', async t => {
  const a = settled({ window: { messagesMax: 1, bytesMax: 1000 } })
  a.propose('x')
  a.step({ kind: 'unreachable', peer: asNodeId('b') })
  a.receive(alive('b', 2))
  t.strictSame(
    a.receive(matched('b', 2, 1)),
    ['a→b append t2 after 1@2: 2@2=x commit 1'],
    'a late answer ends the probe, and the stream begins with nothing in flight',
  )
})

t.test(
  'A9 only what is on disk is asked from disk: the newest entries may still be on their way',
  async t => {
    const a = candidate({ log: [1, 1, 1], term: 1 }, { messageBytesMax: 50 })
    a.receive(grant({ from: 'b', term: 2 }))
    t.equal(a.raft.state.role.kind, 'leader')
    t.ok(a.raft.durable < a.raft.last.index, 'the no-op is not durable yet')
    t.strictSame(a.receive(refusal({ from: 'b', term: 2, prevIndex: 3, hint: [1, 1] })), [
      'load for b t2 2..3 max 50',
    ])
  },
)
