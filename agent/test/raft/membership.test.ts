import t from 'tap'
import { asNodeId } from '../../src/raft/types.ts'
import { add, identify, members, promote, reconfigure, remove } from './changes.ts'
import {
  ELECTION_TICKS,
  follower,
  HEARTBEAT_TICKS,
  type Limits,
  leader,
  type Member,
} from './harness.ts'
import { alive, append, askIndex, beat, grant, matched } from './messages.ts'
import { showConfiguration } from './show.ts'

/** Leads term 2 with 2@2* on the disks of all; `a b c` vote. */
function settledLeader(limits: Limits = {}, voters = ['a', 'b', 'c']): Member {
  const a = leader({ log: [1], term: 1, commit: 1 }, limits, voters)
  for (const peer of voters.slice(1)) a.receive(matched(peer, 2, 2))
  a.sent = []
  return a
}

/** Its last entry reaches these peers and its own disk. */
function replicate(a: Member, peers: string): string[] {
  const lines = a.fsync()
  for (const peer of peers) {
    lines.push(...a.receive(matched(peer, a.raft.state.term, a.raft.last.index)))
  }
  return lines
}

function peersOf(a: Member): string {
  const { role } = a.raft.state
  return role.kind === 'leader' ? [...role.progress.keys()].join(' ') : 'does not lead'
}

const membersOf = (a: Member): string => showConfiguration(a.raft.state.configuration)

t.test('nobody is removed with whom the last majority would go', async t => {
  const a = settledLeader()
  a.step({ kind: 'unreachable', peer: asNodeId('b') })
  t.strictSame(a.change(remove('c')), ['reject change-pending: 0'], 'only a would be left of a b')
  t.equal(a.change(remove('b'))[0], 'accepted 3@2: 0', 'who is lost may go')
})

t.test('M14: no change before a commit in the own term', async t => {
  const a = leader({ log: [1], term: 1, commit: 1 })
  t.strictSame(a.change(remove('c')), ['reject change-pending: 0'])
  a.receive(matched('b', 2, 2))
  t.equal(a.change(remove('c'))[0], 'accepted 3@2: 0')
})

t.test(
  'B11 a change is in force when applied, not before; the next one waits for that',
  async t => {
    const a = settledLeader()
    t.strictSame(a.change(add('d'), 7), [
      'accepted 3@2: 7',
      'a→b append t2 after 2@2: 3@2[a b c d+] commit 2',
      'a→c append t2 after 2@2: 3@2[a b c d+] commit 2',
      'write t2 vote a commit 2 add 3@2[a b c d+] last 3@2',
    ])
    t.equal(membersOf(a), 'a b c')
    t.strictSame(a.change(add('e')), ['reject change-pending: 0'])
    a.fsync()
    t.equal(peersOf(a), 'b c')
    const lines = a.receive(matched('b', 2, 3))
    t.ok(lines.includes('apply 3..3: 3@2[a b c d+]'), lines.join('; '))
    t.ok(lines.includes('a→d append t2 after 3@2: commit 0'), 'who is new is looked for at once')
    t.equal(membersOf(a), 'a b c d+')
    t.equal(peersOf(a), 'b c d')
    t.equal(a.change(add('e'))[0], 'accepted 4@2: 0')
  },
)

t.test('B11 a new leader finds a change of its predecessor: it too is waited for', async t => {
  const a = follower({ log: [1], term: 1, commit: 1 })
  const configuration = members('abcd', { d: 'learner' })
  a.receive(append({ from: 'b', term: 1, prev: [1, 1], entries: [1], configuration }))
  a.fsync()
  a.untilElection()
  for (const preVote of [true, false]) {
    a.receive(grant({ from: 'c', term: 2, preVote }))
    a.fsync()
  }
  // Committed, an entry of its own term included; the machine takes its time.
  const told = a.raft.step({ kind: 'receive', message: matched('c', 2, 3) })
  t.equal(told.find(({ kind }) => kind === 'apply')?.kind, 'apply')
  t.strictSame(a.change(remove('c')), ['reject change-pending: 0'])
  a.step({ kind: 'applied', position: a.raft.last, configuration })
  t.equal(a.change(remove('c'))[0], 'accepted 4@2: 0')
})

t.test(
  'a change that asks for what is, for nonsense, or of somebody who does not lead',
  async t => {
    const a = settledLeader()
    t.strictSame(a.change(promote('b'), 3), ['unchanged: 3'])
    t.strictSame(a.change(promote('z'), 3), ['reject bad-change: 3'])
    t.strictSame(a.change(reconfigure(''), 3), ['reject bad-change: 3'])
    t.equal(a.raft.last.index, 2)
    const b = follower({ log: [1], term: 1 })
    t.strictSame(b.change(remove('c'), 3), ['reject no-leader: 3'])
    b.receive(beat({ from: 'b', term: 1 }))
    t.strictSame(b.change(remove('c'), 3), ['reject not-leader: 3'])
  },
)

t.test(
  'a change is refused while the leadership is handed over, or a majority is not reached',
  async t => {
    const a = settledLeader()
    a.transfer('b')
    t.strictSame(a.change(add('d')), ['reject no-leader: 0'])
    const c = settledLeader()
    for (const peer of ['b', 'c']) c.step({ kind: 'unreachable', peer: asNodeId(peer) })
    t.strictSame(c.change(add('d')), ['reject no-leader: 0'])
  },
)

t.test(
  'fewer voters: what waited for the removed one is committed when the removal applies',
  async t => {
    const a = settledLeader({}, ['a', 'b', 'c', 'd'])
    a.change(remove('d'))
    a.propose('x')
    a.fsync()
    a.receive(matched('b', 2, 4))
    t.equal(a.raft.state.commit, 2)
    const lines = a.receive(matched('c', 2, 3))
    t.ok(lines.includes('apply 3..3: 3@2[a b c]'), lines.join('; '))
    t.ok(lines.includes('apply 4..4: 4@2=x'), 'two of three hold it')
    t.equal(peersOf(a), 'b c')
    t.strictSame(a.receive(matched('d', 2, 4)), [], 'who was removed counts no longer')
  },
)

t.test('fewer voters: a round of reads that waited for the removed one is confirmed', async t => {
  const a = settledLeader({}, ['a', 'b'])
  a.change(remove('b'))
  a.fsync()
  a.read(5)
  const lines = a.receive(matched('b', 2, 3))
  t.ok(lines.includes('read at 2: 5'), lines.join('; '))
})

t.test(
  'B15 a leader told to remove itself hands over first, and the next one is asked',
  async t => {
    const a = settledLeader()
    t.strictSame(a.change(remove('a')), ['a→b timeout-now t2', 'reject no-leader: 0'])
    t.strictSame(a.change(remove('a')), ['reject no-leader: 0'])
    t.equal(a.raft.last.index, 2, 'nothing is appended')
    const b = settledLeader({}, ['a', 'b', 'c', 'd'])
    b.step({ kind: 'unreachable', peer: asNodeId('b') })
    t.strictSame(b.change(reconfigure('bcd')), ['a→c timeout-now t2', 'reject no-leader: 0'])
  },
)

t.test(
  'B15 a leader to whose removal another one put its name steps down when it applies, and counts no more',
  async t => {
    // The removal is in the log, and a may not know that it is committed.
    const start = { log: [1], term: 1, commit: 1 }
    const a = follower(start, {}, ['a', 'b', 'c', 'd'])
    a.receive(
      append({ from: 'b', term: 1, prev: [1, 1], entries: [1], configuration: members('bcd') }),
    )
    a.fsync()
    a.untilElection()
    for (const preVote of [true, false]) {
      for (const from of ['c', 'd']) a.receive(grant({ from, term: 2, preVote }))
      a.fsync()
    }
    t.equal(a.raft.state.role.kind, 'leader')
    t.strictSame(a.change(add('e')), ['reject change-pending: 0'])
    a.receive(matched('c', 2, 3))
    t.equal(a.raft.state.role.kind, 'leader', 'a and c are two of four')
    const lines = a.receive(matched('d', 2, 3))
    t.ok(lines.includes('apply 2..3: 2@1[b c d] 3@2*'), lines.join('; '))
    t.match(a.raft.state, { term: 2, leader: null, role: { kind: 'follower' } })
    t.strictSame(a.propose('x'), ['reject no-leader: 0'])
    t.strictSame(a.tick(5 * ELECTION_TICKS), [], 'and stays quiet')
  },
)

t.test('B10 a learner is promoted once it was near the end in two checks, not before', async t => {
  const a = settledLeader()
  a.change(add('d'))
  replicate(a, 'b')
  a.tick(4 * HEARTBEAT_TICKS)
  t.equal(membersOf(a), 'a b c d+', 'it has not answered yet')
  for (const peer of 'bcd') a.receive(matched(peer, 2, 3))
  a.tick(4 * HEARTBEAT_TICKS)
  t.equal(a.raft.last.index, 3, 'nor is it known which disk it has')
  a.change(identify('d'))
  replicate(a, 'bcd')
  const before = a.raft.last.index
  const lines = a.tick(2 * HEARTBEAT_TICKS)
  t.ok(
    lines.some(line => line.includes(`add ${before + 1}@2[a b c d]`)),
    lines.join('; '),
  )
  t.notOk(
    lines.some(line => line.startsWith('accepted')),
    'nobody asked for it',
  )
  t.equal(membersOf(a), 'a b c d+')
  replicate(a, 'bc')
  t.equal(membersOf(a), 'a b c d')
})

t.test(
  'B10 more than 1,000 entries behind is not caught up; neither by hand nor by itself',
  async t => {
    const a = settledLeader({ uncommittedEntriesMax: 5_000 })
    a.change(add('d'))
    replicate(a, 'b')
    a.change(identify('d'))
    replicate(a, 'bcd')
    for (let i = 0; i < 1_001; i++) a.propose(`${i}`)
    replicate(a, 'bc')
    const behind = a.raft.last.index
    for (let i = 0; i < 10; i++) {
      for (const peer of 'bcd') a.receive(alive(peer, 2))
      a.tick(HEARTBEAT_TICKS)
    }
    t.equal(a.raft.last.index, behind)
    t.strictSame(a.change(promote('d')), ['reject change-pending: 0'])
    t.strictSame(a.change(reconfigure('abd')), ['reject change-pending: 0'])
    a.receive(matched('d', 2, behind - 1_000))
    a.tick(HEARTBEAT_TICKS)
    t.equal(a.raft.last.index, behind, 'once is not enough')
    a.tick(HEARTBEAT_TICKS)
    t.equal(a.raft.last.index, behind + 1)
  },
)

t.test('B10 near the end now and then, or long ago, is not caught up', async t => {
  const a = settledLeader({ uncommittedEntriesMax: 5_000 })
  a.change(add('d'))
  replicate(a, 'b')
  a.change(identify('d'))
  replicate(a, 'bc')
  t.strictSame(a.change(promote('d')), ['reject change-pending: 0'], 'it has never answered')
  a.receive(matched('d', 2, a.raft.last.index))
  a.tick(HEARTBEAT_TICKS)
  for (let i = 0; i < 1_001; i++) a.propose(`${i}`)
  replicate(a, 'bc')
  a.tick(HEARTBEAT_TICKS)
  a.receive(matched('d', 2, a.raft.last.index))
  const { index } = a.raft.last
  a.tick(HEARTBEAT_TICKS)
  t.equal(a.raft.last.index, index, 'the count begins anew')
  // From now on d is silent, and still near.
  for (let i = 0; i < 4 * ELECTION_TICKS; i++) {
    if (a.raft.state.electionElapsed === 0) a.step({ kind: 'unreachable', peer: asNodeId('d') })
    for (const peer of 'bc') a.receive(alive(peer, 2))
    a.tick()
    if (i === 0) a.step({ kind: 'unreachable', peer: asNodeId('d') })
  }
  t.equal(a.raft.last.index, index)
})

t.test('a transfer to who is removed meanwhile is given up at once', async t => {
  const a = settledLeader()
  a.change(remove('c'))
  a.transfer('c')
  t.strictSame(a.propose('x'), ['reject no-leader: 0'])
  replicate(a, 'b')
  t.equal(membersOf(a), 'a b')
  t.equal(a.propose('x')[0], 'accepted 4@2: 0')
})

t.test('B10 an edge is fed and never promoted, and completes nothing', async t => {
  const a = settledLeader()
  a.change(add('d', true))
  replicate(a, 'b')
  a.change(identify('d'))
  replicate(a, 'bcd')
  t.equal(peersOf(a), 'b c d')
  const { index } = a.raft.last
  for (let i = 0; i < 10; i++) {
    for (const peer of 'bcd') a.receive(alive(peer, 2))
    a.tick(HEARTBEAT_TICKS)
  }
  t.equal(a.raft.last.index, index)
  t.strictSame(a.change(promote('d')), ['reject bad-change: 0'])
  t.strictSame(a.transfer('d'), [])
  a.propose('x')
  a.fsync()
  a.receive(matched('d', 2, index + 1))
  t.equal(a.raft.state.commit, index, 'two voters of three are needed')
  a.read(1)
  const { context } = a
  t.strictSame(a.receive(alive('d', 2, context)), [])
  t.ok(a.receive(alive('b', 2, context)).includes(`read at ${index}: 1`))
  a.receive(matched('b', 2, index))
  a.tick(ELECTION_TICKS)
  for (let i = 0; i < ELECTION_TICKS; i++) {
    a.receive(alive('d', 2))
    a.tick()
  }
  t.equal(a.raft.state.role.kind, 'follower', 'nor does it keep a leader in office')
})

t.test('reads that wait are bounded, those of followers included', async t => {
  const a = settledLeader({ readsMax: 3 })
  t.ok(a.read(1, 2).every(line => line.includes('beat')))
  t.strictSame(a.read(3, 4, 5), ['reject overloaded: 4 5'])
  a.receive(askIndex({ from: 'b', term: 2, context: 9 }))
  t.strictSame(a.read(6), ['reject overloaded: 6'])
  const lines = a.receive(alive('b', 2, a.context))
  t.ok(lines.includes('read at 2: 1 2'), lines.join('; '))
  t.ok(a.receive(askIndex({ from: 'b', term: 2, context: 10 })).length === 0)
  const more = a.receive(alive('b', 2, a.context))
  t.ok(more.includes('read at 2: 3'), more.join('; '))
  t.notOk(
    more.some(line => line.includes('read-index')),
    'who found no room asks again',
  )
})

t.test('a check is an empty entry of its own kind, subject to the limits of proposals', async t => {
  const a = settledLeader({ uncommittedEntriesMax: 1 })
  const check = () => a.step({ kind: 'propose-check', id: 4 })
  t.strictSame(check(), [
    'accepted 3@2: 4',
    'a→b append t2 after 2@2: 3@2? commit 2',
    'a→c append t2 after 2@2: 3@2? commit 2',
    'write t2 vote a commit 2 add 3@2? last 3@2',
  ])
  t.strictSame(check(), ['reject overloaded: 4'])
  const b = follower({ log: [1], term: 1 })
  t.strictSame(b.step({ kind: 'propose-check', id: 4 }), ['reject no-leader: 4'])
})
