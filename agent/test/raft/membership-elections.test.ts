import t from 'tap'
import { members } from './changes.ts'
import { ELECTION_TICKS, follower, HEARTBEAT_TICKS, leader } from './harness.ts'
import { append, ask, beat, grant, timeoutNow } from './messages.ts'

t.test(
  'who does not vote never campaigns, and answers when asked for a vote (etcd#10998)',
  async t => {
    for (const role of ['learner', 'edge'] as const) {
      const configuration = members('abc', { a: role })
      const a = follower({ log: [1], term: 1, commit: 1, configuration })
      t.strictSame(a.tick(5 * ELECTION_TICKS), [])
      t.strictSame(a.receive(timeoutNow('b', 1)), [])
      t.strictSame(a.receive(ask({ from: 'b', term: 2, last: [1, 1], commit: [1, 1] })), [
        'write t2 vote b commit 1 last 1@1',
        '  then a→b vote t2 yes commit 1@1',
      ])
      t.strictSame(a.receive(ask({ from: 'c', term: 3, last: [0, 0] })), [
        'write t3 vote null commit 1 last 1@1',
        '  then a→c vote t3 no commit 1@1',
      ])
    }
  },
)

t.test('a node that waits to be added is quiet, and takes what its leader sends', async t => {
  const a = follower({ configuration: { members: [], outgoing: [] } })
  t.strictSame(a.tick(5 * ELECTION_TICKS), [])
  a.receive(append({ from: 'b', term: 3, entries: [1, 2] }))
  t.strictSame(a.fsync(), ['a→b match t3 2'])
})

t.test('a candidate asks voters of both halves, and needs both majorities', async t => {
  const joint = members('abcde', { b: 'leaving', c: 'leaving' }, 'abc')
  const a = follower({ log: [1], term: 1, commit: 1, configuration: joint })
  t.strictSame(
    a.untilElection().map(line => line.slice(0, 'a→b'.length)),
    ['a→b', 'a→c', 'a→d', 'a→e'],
  )
  a.receive(grant({ from: 'd', term: 2, preVote: true }))
  t.equal(a.raft.state.term, 1, 'one half decides nothing')
  a.receive(grant({ from: 'c', term: 2, preVote: true }))
  t.equal(a.raft.state.term, 2)
  a.fsync()
  a.receive(grant({ from: 'b', term: 2 }))
  a.receive(grant({ from: 'c', term: 2 }))
  t.equal(a.raft.state.role.kind, 'candidate')
  a.receive(grant({ from: 'e', term: 2 }))
  t.equal(a.raft.state.role.kind, 'leader')
})

t.test(
  'etcd#12133, raft#469: no campaign with a committed change unapplied, by time-out or by order',
  async t => {
    const a = follower({ log: [1], term: 1, commit: 1 })
    const configuration = members('ab')
    a.receive(append({ from: 'b', term: 1, prev: [1, 1], entries: [1], configuration, commit: 1 }))
    a.fsync()
    // The machine is slow: it is told, and does not answer.
    const { raft } = a
    const told = raft.step({ kind: 'receive', message: beat({ from: 'b', term: 1, commit: 2 }) })
    t.equal(told.find(({ kind }) => kind === 'apply')?.kind, 'apply')
    t.strictSame(raft.step({ kind: 'receive', message: timeoutNow('b', 1) }), [])
    for (let i = 0; i < 4 * ELECTION_TICKS; i++) t.strictSame(raft.step({ kind: 'tick' }), [])
    t.equal(raft.state.term, 1)
    raft.step({ kind: 'applied', position: raft.last, configuration })
    t.match(a.untilElection(), [/^a→b pre-vote\? t2/], 'c is gone')
  },
)

t.test(
  'what was in the log at start may be a change: no campaign once it is known to be committed',
  async t => {
    const a = follower({ log: [1, 1, 1], term: 1, commit: 1 })
    const { raft } = a
    t.ok(a.untilElection().length > 0, 'uncommitted, for all that is known')
    raft.step({ kind: 'receive', message: beat({ from: 'b', term: 1, commit: 3 }) })
    t.strictSame(raft.step({ kind: 'receive', message: timeoutNow('b', 1) }), [])
    raft.step({ kind: 'applied', position: raft.last, configuration: null })
    t.equal(raft.step({ kind: 'receive', message: timeoutNow('b', 1) }).length, 1)
  },
)

t.test('the machine reports every configuration that it applied', async t => {
  const { raft } = follower({ log: [1], term: 1, commit: 1 })
  const change = { entries: [1], configuration: members('ab') }
  const message = append({ from: 'b', term: 1, prev: [1, 1], ...change, commit: 2 })
  for (const effect of raft.step({ kind: 'receive', message })) {
    if (effect.kind === 'persist') raft.step({ kind: 'persisted', receipt: effect.receipt })
  }
  const applied = { kind: 'applied', position: raft.last, configuration: null } as const
  t.throws(() => raft.step(applied), /comes into force/)
})

t.test(
  'B13, etcd#12359: whoever holds what another knows to be committed may commit it',
  async t => {
    const a = follower({ log: [1, 1], term: 1, commit: 1 })
    t.ok(
      a
        .receive(ask({ from: 'b', term: 2, last: [2, 1], commit: [2, 1] }))
        .includes('apply 2..2: from disk'),
    )
    const b = follower({ log: [1, 1, 1], term: 1, commit: 1 })
    b.untilElection()
    const refused = { from: 'b', term: 1, preVote: true, granted: false }
    b.receive(grant({ ...refused, commit: [3, 2] }))
    t.equal(b.raft.state.commit, 1, 'another entry of that index')
    b.receive(grant({ ...refused, commit: [9, 1] }))
    t.equal(b.raft.state.commit, 1, 'an entry that is not here')
    b.receive(grant({ ...refused, commit: [2, 1] }))
    t.equal(b.raft.state.commit, 2)
  },
)

t.test(
  'B16 forget-leader: in the same term, and pre-votes pass; its time is not lengthened',
  async t => {
    const a = follower({ log: [1], term: 1, commit: 1 })
    a.receive(beat({ from: 'b', term: 1, commit: 1 }))
    a.tick(3)
    const asked = ask({ from: 'c', term: 2, preVote: true, last: [1, 1] })
    t.strictSame(a.receive(asked), ['a→c pre-vote t1 no commit 1@1'])
    t.strictSame(a.step({ kind: 'forget-leader' }), [])
    t.match(a.raft.state, { term: 1, leader: null, electionElapsed: 3 })
    t.strictSame(a.receive(asked), ['a→c pre-vote t2 yes commit 1@1'])
    const stale = ask({ from: 'c', term: 2, preVote: true })
    t.strictSame(a.receive(stale), ['a→c pre-vote t1 no commit 1@1'], 'an older log still loses')
    a.receive(beat({ from: 'b', term: 1, commit: 1 }))
    t.equal(a.raft.state.leader, 'b', 'it was alive')
    const b = leader()
    b.step({ kind: 'forget-leader' })
    t.match(b.raft.state, { leader: 'a', role: { kind: 'leader' } })
  },
)

t.test(
  'B16 who saw the leader die campaigns soon, at different times, and not for ever',
  async t => {
    const waits = new Set<number>()
    for (let seed = 1; seed <= 40; seed++) {
      const a = follower({ log: [1], term: 1, commit: 1 }, { seed })
      a.receive(beat({ from: 'b', term: 1, commit: 1 }))
      a.step({ kind: 'forget-leader' })
      a.step({ kind: 'forget-leader' })
      const { electionTimeout } = a.raft.state
      t.ok(electionTimeout >= HEARTBEAT_TICKS && electionTimeout <= ELECTION_TICKS / 2 + 1)
      waits.add(electionTimeout)
      t.equal(a.untilElection().length, 2, 'asks for pre-votes')
      t.ok(a.raft.state.electionTimeout >= ELECTION_TICKS, 'then it waits as always')
    }
    t.ok(waits.size > 2, 'spread')
    const b = follower({ log: [1], term: 1, commit: 1 })
    const { electionTimeout } = b.raft.state
    b.step({ kind: 'forget-leader' })
    t.equal(b.raft.state.electionTimeout, electionTimeout, 'nobody to forget')
  },
)

t.test('B16 reads that wait for a leader that died are refused at once', async t => {
  const a = follower({ log: [1], term: 1, commit: 1 })
  a.receive(beat({ from: 'b', term: 1, commit: 1 }))
  a.read(1)
  t.strictSame(a.step({ kind: 'forget-leader' }), ['reject no-leader: 1'])
})

t.test('B13 a candidate that learns of a committed change waits until it is under it', async t => {
  const a = follower({ log: [1], term: 1, commit: 1 })
  const configuration = members('ab')
  a.receive(append({ from: 'b', term: 1, prev: [1, 1], entries: [1], configuration }))
  a.fsync()
  a.untilElection()
  const { raft } = a
  const refused = grant({ from: 'b', term: 1, preVote: true, granted: false, commit: [2, 1] })
  const told = raft.step({ kind: 'receive', message: refused })
  t.equal(told.find(({ kind }) => kind === 'apply')?.kind, 'apply')
  t.equal(raft.state.role.kind, 'follower')
  raft.step({ kind: 'receive', message: grant({ from: 'c', term: 2, preVote: true }) })
  t.equal(raft.state.term, 1, 'c votes no more')
})
