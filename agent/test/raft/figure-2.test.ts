import t from 'tap'
import { asNodeId } from '../../src/raft/types.ts'
import { candidate, follower, leader } from './harness.ts'
import { alive, append, ask, beat, grant, matched, refusal } from './messages.ts'

t.test(
  'Figure 2, persistent state: a new term, a vote and new entries are written before any answer',
  async t => {
    const a = follower({ term: 1 })
    t.strictSame(a.receive(ask({ from: 'b', term: 2 })), [
      'write t2 vote b commit 0 last 0@0',
      '  then a→b vote t2 yes',
    ])
    t.strictSame(a.receive(append({ from: 'b', term: 2, entries: [2] })), [
      'write t2 vote b commit 0 add 1@2 last 1@2',
      '  then a→b match t2 1',
    ])
    t.strictSame(a.fsync(1), ['a→b vote t2 yes'])
    t.strictSame(a.fsync(1), ['a→b match t2 1'])
    t.equal(a.log(), '1@2')
  },
)

t.test('Figure 2, persistent state: it comes back after a crash', async t => {
  const a = follower({ term: 1 })
  a.receive(ask({ from: 'b', term: 2 }))
  a.receive(append({ from: 'b', term: 2, entries: [2, 2] }))
  a.fsync()
  a.restart()
  t.match(a.raft.state, { term: 2, vote: 'b', commit: 0, applied: 0, role: { kind: 'follower' } })
  t.strictSame(a.raft.last, { index: 2, term: 2 })
  t.strictSame(a.receive(ask({ from: 'c', term: 2, last: [9, 2] })), ['a→c vote t2 no'])
})

t.test('Figure 2, AppendEntries 1: a term that is over is answered with the newer one', async t => {
  const a = follower({ term: 3 })
  t.strictSame(a.receive(append({ from: 'b', term: 2, entries: [2] })), ['a→b alive t3'])
  t.strictSame(a.receive(beat({ from: 'b', term: 2 })), ['a→b alive t3'])
  t.equal(a.raft.state.leader, null)
  t.equal(a.raft.last.index, 0)
})

t.test(
  'Figure 2, AppendEntries 2: no entry at prevLogIndex of prevLogTerm is a refusal',
  async t => {
    const a = follower({ log: [1, 1, 2], term: 3, vote: 'b' })
    t.strictSame(
      a.receive(append({ from: 'b', term: 3, prev: [4, 3], entries: [3] })),
      ['a→b refuse t3 prev 4 hint 3@2'],
      'too short',
    )
    t.strictSame(
      a.receive(append({ from: 'b', term: 3, prev: [3, 1], entries: [3] })),
      ['a→b refuse t3 prev 3 hint 2@1'],
      'another term there',
    )
    t.equal(a.log(), '1@1 2@1 3@2')
  },
)

t.test('Figure 2, AppendEntries 3: a conflicting entry and all behind it are deleted', async t => {
  const a = follower({ log: [1, 2, 2, 2], term: 3, vote: 'b' })
  t.strictSame(a.receive(append({ from: 'b', term: 3, prev: [1, 1], entries: [3] })), [
    'write t3 vote b commit 0 cut 2 add 2@3 last 2@3',
    '  then a→b match t3 2',
  ])
  a.fsync()
  t.equal(a.log(), '1@1 2@3')
})

t.test('Figure 2, AppendEntries 4: only entries that are not in the log are appended', async t => {
  const a = follower({ log: [1, 1], term: 2, vote: 'b' })
  t.strictSame(a.receive(append({ from: 'b', term: 2, prev: [0, 0], entries: [1, 1, 2] })), [
    'write t2 vote b commit 0 add 3@2 last 3@2',
    '  then a→b match t2 3',
  ])
})

t.test('Figure 2, AppendEntries 4: a shorter, late message deletes nothing', async t => {
  const a = follower({ log: [1, 1, 1], term: 1, vote: 'b' })
  t.strictSame(a.receive(append({ from: 'b', term: 1, prev: [0, 0], entries: [1] })), [
    'a→b match t1 1',
  ])
  t.equal(a.raft.last.index, 3)
})

t.test(
  'Figure 2, AppendEntries 5: commitIndex = min(leaderCommit, index of last new entry)',
  async t => {
    const a = follower({ log: [1, 1, 1], term: 2, vote: 'b' })
    t.strictSame(
      a.receive(append({ from: 'b', term: 2, prev: [1, 1], entries: [1], commit: 3 })),
      ['apply 1..2: from disk', 'a→b match t2 2'],
      'the third entry may be of another history',
    )
    t.equal(a.raft.state.commit, 2)
    a.receive(append({ from: 'b', term: 2, prev: [2, 1], entries: [2, 2], commit: 3 }))
    t.equal(a.raft.state.commit, 3)
  },
)

t.test(
  'Figure 2, RequestVote 1: a candidate of an older term is refused with the newer one',
  async t => {
    const a = follower({ term: 3 })
    t.strictSame(a.receive(ask({ from: 'b', term: 2, last: [9, 9] })), ['a→b vote t3 no'])
  },
)

t.test(
  'Figure 2, RequestVote 2: one vote a term, first come first served, and again for the same',
  async t => {
    const a = follower({ term: 1 })
    a.receive(ask({ from: 'b', term: 2 }))
    a.fsync()
    t.strictSame(a.receive(ask({ from: 'c', term: 2 })), ['a→c vote t2 no'])
    t.strictSame(a.receive(ask({ from: 'b', term: 2 })), ['a→b vote t2 yes'])
  },
)

t.test('Figure 2, all servers: committed entries are applied in order, each once', async t => {
  const a = follower({ log: [1], term: 1, vote: 'b' })
  a.receive(append({ from: 'b', term: 1, prev: [1, 1], entries: [1, 1], commit: 2 }))
  t.strictSame(a.fsync(), ['a→b match t1 3', 'apply 2..2: 2@1'])
  t.strictSame(a.receive(append({ from: 'b', term: 1, prev: [3, 1], commit: 3 })), [
    'apply 3..3: 3@1',
  ])
  t.strictSame(a.receive(beat({ from: 'b', term: 1, commit: 3 })), ['a→b alive t1'])
})

t.test(
  'Figure 2, all servers: a higher term in any message makes a follower of everybody',
  async t => {
    const makers = [follower, candidate, leader] as const
    const messages = [
      append({ from: 'b', term: 9 }),
      beat({ from: 'b', term: 9 }),
      alive('b', 9),
      matched('b', 9, 0),
      grant({ from: 'b', term: 9, granted: false }),
      grant({ from: 'b', term: 9, granted: false, preVote: true }),
    ]
    for (const make of makers) {
      for (const message of messages) {
        const a = make({ term: 1 })
        a.receive(message)
        t.match(a.raft.state, { term: 9, vote: null, role: { kind: 'follower' } }, message.kind)
      }
    }
  },
)

t.test(
  'Figure 2, followers: no election while the leader is heard or a vote was granted',
  async t => {
    const a = follower({ term: 1 })
    for (let i = 0; i < 10; i++) {
      a.tick(9)
      a.receive(beat({ from: 'b', term: 1 }))
    }
    t.equal(a.raft.state.role.kind, 'follower')
    const b = follower({ term: 1 })
    b.tick(9)
    b.receive(ask({ from: 'c', term: 2 }))
    t.strictSame(b.tick(9), [])
  },
)

t.test('Figure 2, followers: a refused vote does not postpone the own election', async t => {
  const a = follower({ log: [1], term: 1 })
  a.tick(9)
  a.receive(ask({ from: 'b', term: 2 }))
  a.fsync()
  t.ok(a.tick(10).length > 0)
})

t.test('Figure 2, candidates: term + 1, own vote, fresh timer, RequestVote to all', async t => {
  const a = follower({ log: [1], term: 1 })
  t.strictSame(a.untilElection(), ['a→b pre-vote? t2 last 1@1', 'a→c pre-vote? t2 last 1@1'])
  t.strictSame(a.receive(grant({ from: 'b', term: 2, preVote: true })), [
    'write t2 vote a commit 0 last 1@1',
    '  then a→b vote? t2 last 1@1',
    '  then a→c vote? t2 last 1@1',
  ])
  t.match(a.raft.state, { term: 2, vote: 'a', electionElapsed: 0, leader: null })
})

t.test('Figure 2, candidates: votes of a majority make a leader', async t => {
  const a = candidate({ term: 1 })
  t.strictSame(a.receive(grant({ from: 'c', term: 2 })), [
    'a→b append t2 after 0@0: 1@2* commit 0',
    'a→c append t2 after 0@0: 1@2* commit 0',
    'write t2 vote a commit 0 add 1@2* last 1@2',
  ])
  t.equal(a.raft.state.role.kind, 'leader')
})

t.test('Figure 2, candidates: AppendEntries of the own term makes a follower', async t => {
  const a = candidate({ term: 1 })
  t.strictSame(a.receive(append({ from: 'b', term: 2, entries: [2] })), [
    'write t2 vote a commit 0 add 1@2 last 1@2',
    '  then a→b match t2 1',
  ])
  t.match(a.raft.state, { term: 2, vote: 'a', leader: 'b', role: { kind: 'follower' } })
})

t.test('Figure 2, candidates: after another timeout a new election begins', async t => {
  const a = candidate({ term: 1 })
  t.strictSame(a.tick(9), [], 'not earlier')
  t.strictSame(a.untilElection(), ['a→b pre-vote? t3 last 0@0', 'a→c pre-vote? t3 last 0@0'])
  t.equal(a.raft.state.term, 2, 'a pre-vote raises nothing')
})

t.test('Figure 2, leaders: heartbeats keep elections away', async t => {
  const a = leader({ term: 1 })
  t.strictSame(a.tick(), [])
  t.strictSame(a.tick(), ['a→b beat t2 commit 0', 'a→c beat t2 commit 0'])
})

t.test('Figure 2, leaders: a command is appended and answered when it is applied', async t => {
  const a = leader({ term: 1 })
  a.receive(matched('b', 2, 1))
  t.strictSame(a.propose('x', 'y'), [
    'accepted 2@2: 0 1',
    'a→b append t2 after 1@2: 2@2=x 3@2=y commit 1',
    'write t2 vote a commit 1 add 2@2=x 3@2=y last 3@2',
  ])
  t.strictSame(a.receive(matched('b', 2, 3)), [], 'one copy; the own one is not durable')
  t.strictSame(a.fsync(), ['a→b append t2 after 3@2: commit 3', 'apply 2..3: 2@2=x 3@2=y'])
})

t.test('Figure 2, leaders: a refusal lowers nextIndex, a success raises both indexes', async t => {
  const a = leader({ term: 1 })
  a.receive(matched('b', 2, 1))
  a.propose('x', 'y')
  const { role } = a.raft.state
  const progress = role.kind === 'leader' ? role.progress.get(asNodeId('b')) : undefined
  t.match(progress, { match: 1, next: 4 })
  a.receive(refusal({ from: 'b', term: 2, prevIndex: 3, hint: [2, 2] }))
  t.match(progress, { match: 1, next: 3, state: 'probe' })
  a.receive(matched('b', 2, 3))
  t.match(progress, { match: 3, next: 4, state: 'replicate' })
})

t.test('Figure 2, leaders: a majority of matchIndex in the own term commits', async t => {
  const a = leader({ log: [1], term: 1 }, {}, ['a', 'b', 'c', 'd', 'e'])
  t.strictSame(a.receive(matched('b', 2, 2)), [])
  t.equal(a.raft.state.commit, 0)
  a.receive(matched('c', 2, 2))
  t.equal(a.raft.state.commit, 2)
})
