import t from 'tap'
import { asLogIndex, type SnapshotHeader } from '../../src/raft/types.ts'
import { add, members } from './changes.ts'
import { entriesOf } from './entries.ts'
import {
  ELECTION_TICKS,
  follower,
  HEARTBEAT_TICKS,
  type Limits,
  leader,
  type Member,
  snapshotOf,
} from './harness.ts'
import { alive, append, ask, beat, matched, refusal, snapshot, timeoutNow } from './messages.ts'
import { showConfiguration } from './show.ts'

const ABC = members('abc')

/** Covers entries of these terms. */
const covering = (...terms: number[]): SnapshotHeader => snapshotOf(entriesOf(terms), ABC)

t.test('F: a snapshot below or at commit is answered with commit, and ignored', async t => {
  for (const terms of [[1], [1, 1]]) {
    const a = follower({ log: [1, 1, 1], term: 2, commit: 2 })
    t.strictSame(a.receive(snapshot('b', 2, covering(...terms))), ['a→b match t2 2'])
    t.equal(a.raft.state.install, null)
    t.equal(a.raft.last.index, 3)
  }
})

t.test('F: a snapshot of what the log holds only moves commit; the suffix stays', async t => {
  const a = follower({ log: [1, 1, 1, 1], term: 2, commit: 1 })
  t.strictSame(a.receive(snapshot('b', 2, covering(1, 1, 1))), [
    'apply 2..3: from disk',
    'a→b match t2 3',
  ])
  t.match(a.raft.state, { install: null, commit: 3 })
  t.equal(a.log(), '1@1 2@1 3@1 4@1')
})

t.test('F: it is accepted only once what it is said to equal is durable', async t => {
  const a = follower({ log: [1], term: 1, commit: 1 })
  a.receive(append({ from: 'b', term: 1, prev: [1, 1], entries: [1, 1], commit: 1 }))
  t.strictSame(a.receive(snapshot('b', 1, covering(1, 1, 1))), [
    'await t1 vote null commit 3 last 3@1',
    '  then a→b match t1 3',
  ])
  t.ok(a.fsync().includes('a→b match t1 3'))
})

t.test(
  'F: a snapshot above a shorter log is installed, and log, machine and members are its own',
  async t => {
    const a = follower({ log: [1], term: 1, commit: 1, configuration: members('ab') })
    t.strictSame(a.receive(snapshot('b', 3, covering(1, 2, 3))), [
      'write t3 vote null commit 1 last 1@1',
    ])
    t.strictSame(a.fsync(), ['install 3@3', '  then a→b match t3 3'])
    t.strictSame(a.install(), ['a→b match t3 3'])
    t.match(a.raft.state, { install: null, commit: 3, applying: 3, applied: 3 })
    t.match(a.raft.base, { index: 3, term: 3 })
    t.match(a.raft.last, { index: 3, term: 3 })
    t.equal(showConfiguration(a.raft.state.configuration), 'a b c')
    const next = append({ from: 'b', term: 3, prev: [3, 3], entries: [3], commit: 4 })
    t.strictSame(a.receive(next), [
      'write t3 vote null commit 4 add 4@3 last 4@3',
      '  then a→b match t3 4',
    ])
    t.ok(a.fsync().includes('apply 4..4: 4@3'))
  },
)

for (const [title, log] of [
  ['a longer', [1, 2, 2, 2, 2]],
  ['a conflicting', [1, 2, 2]],
] as const) {
  t.test(
    `hashicorp/raft#697, #704: installed over ${title} log of another history, all of it is dropped`,
    async t => {
      const a = follower({ log, term: 3, commit: 1 })
      a.receive(snapshot('b', 3, covering(1, 3, 3)))
      t.equal(a.raft.last.index, log.length, 'until the install is done')
      a.install()
      t.match(a.raft.last, { index: 3, term: 3 })
      t.match(a.raft.base, { index: 3, term: 3 })
      t.equal(a.log(), '')
      const late = append({ from: 'b', term: 3, prev: [4, 3], entries: [3] })
      t.strictSame(a.receive(late), ['a→b refuse t3 prev 4 hint 3@3'], 'M16')
      a.restart()
      t.match(a.raft.last, { index: 3, term: 3 })
      t.equal(a.raft.state.applied, 3)
    },
  )
}

t.test('F: a snapshot of an older leader is answered with the own term', async t => {
  const a = follower({ log: [1], term: 5, commit: 1 })
  t.strictSame(a.receive(snapshot('b', 2, covering(1, 2))), ['a→b alive t5'])
  t.equal(a.raft.state.install, null)
})

t.test(
  'F: no snapshot from a future term, and none that contradicts what is committed',
  async t => {
    const a = follower({ log: [1, 1], term: 2, commit: 2 })
    t.throws(() => a.receive(snapshot('b', 2, covering(1, 2, 3))), /future term/)
    t.throws(() => a.receive(snapshot('b', 2, covering(1, 2))), /contradicts/)
  },
)

t.test('A10 an install waits for the writes and applies under way, and begins once', async t => {
  const a = follower({ log: [1], term: 3, commit: 1 })
  const { raft } = a
  // 2@1 is being written and is committed.
  const message = append({ from: 'b', term: 3, prev: [1, 1], entries: [1, 1], commit: 2 })
  const [write] = raft.step({ kind: 'receive', message })
  t.equal(write?.kind, 'persist')
  t.strictSame(raft.step({ kind: 'receive', message: snapshot('b', 3, covering(1, 1, 3)) }), [])
  if (write?.kind !== 'persist') return
  t.strictSame(
    raft.step({ kind: 'persisted', receipt: write.receipt }).map(({ kind }) => kind),
    ['install-snapshot'],
    'and nothing that was not handed over before is applied',
  )
  t.strictSame(raft.step({ kind: 'tick' }), [])
  t.equal(raft.state.applying, 1)

  const c = follower({ log: [1, 1], term: 3, commit: 1 })
  const told = c.raft.step({ kind: 'receive', message: beat({ from: 'b', term: 3, commit: 2 }) })
  t.equal(told.find(({ kind }) => kind === 'apply')?.kind, 'apply')
  c.raft.step({ kind: 'receive', message: snapshot('b', 3, covering(1, 1, 3)) })
  const position = { index: asLogIndex(2), term: covering(1).position.term }
  t.strictSame(
    c.raft.step({ kind: 'applied', position, configuration: null }).map(({ kind }) => kind),
    ['install-snapshot'],
  )
})

t.test(
  'A1 an install waits for the vote of its time: its answer speaks in the name of the term',
  async t => {
    const a = follower({ log: [1], term: 1, commit: 1 })
    t.strictSame(a.receive(snapshot('b', 2, covering(1, 2))), [
      'write t2 vote null commit 1 last 1@1',
    ])
    t.strictSame(a.fsync(), ['install 2@2', '  then a→b match t2 2'])
  },
)

/** Takes a snapshot up to 3@3, and is not done with it. */
function installing(): Member {
  const a = follower({ log: [1, 2], term: 3, commit: 1 })
  a.receive(snapshot('b', 3, covering(1, 3, 3)))
  return a
}

t.test('while a snapshot is installed the log stands still', async t => {
  const a = installing()
  const more = append({ from: 'b', term: 3, prev: [1, 1], entries: [3, 3, 3], commit: 4 })
  t.strictSame(a.receive(more), [], 'what it will hold answers better')
  t.strictSame(a.receive(append({ from: 'b', term: 3, prev: [3, 3], entries: [3] })), [])
  t.strictSame(a.receive(append({ from: 'b', term: 3, prev: [0, 0], entries: [1] })), [
    'a→b match t3 1',
  ])
  t.strictSame(a.receive(beat({ from: 'b', term: 3, commit: 1 })), ['a→b alive t3'])
  t.strictSame(a.receive(snapshot('b', 3, covering(1, 3, 3, 3))), [], 'one at a time')
  a.install()
  t.match(a.raft.last, { index: 3, term: 3 })
  a.receive(snapshot('b', 3, covering(1, 3, 3, 3, 3)))
  a.install()
  t.equal(a.raft.last.index, 5)
})

t.test(
  'while a snapshot is installed a node votes and does not campaign; its term may move on',
  async t => {
    const a = installing()
    t.strictSame(a.receive(timeoutNow('b', 3)), [])
    t.strictSame(a.tick(4 * ELECTION_TICKS), [])
    t.strictSame(a.receive(ask({ from: 'c', term: 4, last: [3, 3], commit: [1, 1] })), [
      'write t4 vote c commit 1 last 2@2',
      '  then a→c vote t4 yes commit 1@1',
    ])
    a.fsync()
    a.install()
    t.match(a.raft.state, { term: 4, vote: 'c', commit: 3 })
    t.match(a.untilElection(), [/^a→b pre-vote\? t5 last 3@3/])
  },
)

t.test('what is installed is what was to be installed', async t => {
  const a = installing()
  const installed = { kind: 'snapshot-installed', configuration: ABC } as const
  const { position } = covering(1, 3)
  t.throws(() => a.step({ ...installed, position }), /to be installed/)
  const b = follower({ log: [1], term: 3, commit: 1 })
  t.throws(() => b.step({ ...installed, position }), /to be installed/)
})

t.test(
  'canonical/raft#250, matrixone#24966: the snapshot has the older members, the log brings the newer',
  async t => {
    const a = follower({ term: 3 })
    a.receive(snapshot('b', 3, covering(1, 3)))
    a.install()
    t.equal(showConfiguration(a.raft.state.configuration), 'a b c')
    const configuration = members('abcd', { d: 'learner' })
    a.receive(append({ from: 'b', term: 3, prev: [2, 3], entries: [3], configuration, commit: 3 }))
    a.fsync()
    t.equal(showConfiguration(a.raft.state.configuration), 'a b c d+')
  },
)

/** Leads term 2 with ten entries that b and it hold; c holds one, the log of the leader is compacted up to 6. */
function compacted(limits: Limits = {}): Member {
  const a = leader({ log: [1, 1, 1, 1, 1, 1, 1, 1, 1], term: 1, commit: 9 }, limits)
  a.receive(matched('b', 2, 10))
  a.compact(6)
  a.sent = []
  return a
}

function stateOf(a: Member, peer: string): string {
  const { role } = a.raft.state
  if (role.kind !== 'leader') return 'does not lead'
  for (const [id, { state, match, next }] of role.progress) {
    if (id === peer) return `${state} ${match} ${next}`
  }
  return 'unknown'
}

const BEHIND = refusal({ from: 'c', term: 2, prevIndex: 9, hint: [1, 1] })

t.test(
  'B4 a peer that lacks what is no longer in the log gets a snapshot, and nothing else',
  async t => {
    const a = compacted()
    t.strictSame(a.receive(BEHIND), ['send snapshot to c from 6 on'])
    t.equal(stateOf(a, 'c'), 'snapshot 0 1')
    t.strictSame(a.receive(alive('c', 2)), [])
    t.notOk(a.propose('x').some(line => line.startsWith('a→c')))
    t.ok(a.tick(HEARTBEAT_TICKS).includes('a→c beat t2 commit 0'), 'heartbeats go on')
  },
)

t.test(
  'F: snapshot_succeed_via_app_resp: an answer that reconnects ends the snapshot state',
  async t => {
    const a = compacted()
    a.receive(BEHIND)
    t.strictSame(a.receive(matched('c', 2, 10)), ['a→c append t2 after 10@2: commit 10'])
    t.equal(stateOf(a, 'c'), 'replicate 10 11')
  },
)

t.test('etcd/raft: a snapshot older than the log is enough if it reconnects', async t => {
  for (const [match, follows] of [
    [6, '7@1 8@1 9@1'],
    [8, '9@1'],
  ] as const) {
    const a = compacted()
    a.receive(BEHIND)
    a.receive(matched('c', 2, match))
    t.equal(stateOf(a, 'c'), `replicate ${match} ${match + 1}`)
    const lines = a.load()
    t.equal(lines[0], `a→c append t2 after ${match}@1: ${follows} 10@2* commit 10`)
  }
})

t.test('an answer from below the base keeps the peer waiting for its snapshot', async t => {
  const a = compacted()
  a.receive(BEHIND)
  t.strictSame(a.receive(matched('c', 2, 5)), [])
  t.equal(stateOf(a, 'c'), 'snapshot 5 6')
  t.strictSame(a.receive(refusal({ from: 'c', term: 2, prevIndex: 8, hint: [1, 1] })), [], 'late')
})

t.test(
  'a snapshot that went out: the next answer to a heartbeat finds out what became of it',
  async t => {
    const a = compacted()
    a.receive(BEHIND)
    t.strictSame(a.step({ kind: 'snapshot-sent', to: BEHIND.from, ok: true }), [])
    t.notOk(
      a.propose('x').some(line => /→c|for c/.test(line)),
      'not before',
    )
    t.strictSame(a.receive(alive('c', 2)), ['load for c t2 7..10 max 1048576'])
    t.strictSame(a.load(), ['a→c append t2 after 6@1: 7@1 8@1 9@1 10@2* commit 10'])
    const lost = refusal({ from: 'c', term: 2, prevIndex: 6, hint: [1, 1] })
    t.strictSame(a.receive(lost), ['send snapshot to c from 6 on'], 'it did not arrive')
  },
)

t.test(
  'a snapshot that did not go out is tried again with the next answer to a heartbeat',
  async t => {
    const a = compacted()
    a.receive(BEHIND)
    t.strictSame(a.step({ kind: 'snapshot-sent', to: BEHIND.from, ok: false }), [])
    t.strictSame(a.receive(alive('c', 2)), ['send snapshot to c from 6 on'])
    t.strictSame(a.step({ kind: 'snapshot-sent', to: BEHIND.to, ok: false }), [], 'to no peer')
    a.receive(matched('c', 2, 10))
    a.step({ kind: 'snapshot-sent', to: BEHIND.from, ok: false })
    t.equal(stateOf(a, 'c'), 'replicate 10 11', 'it came otherwise meanwhile')
  },
)

t.test('a peer that was not heard is sent no snapshot before it answers', async t => {
  const a = compacted()
  a.receive(matched('c', 2, 8))
  a.load()
  for (let i = 0; i < 2; i++) {
    a.receive(alive('b', 2))
    a.tick(ELECTION_TICKS)
  }
  a.step({ kind: 'unreachable', peer: BEHIND.from })
  a.compact(10)
  t.notOk(a.propose('x').some(line => line.includes('snapshot')))
  t.ok(a.receive(alive('c', 2)).includes('send snapshot to c from 10 on'))
})

t.test(
  'what was asked for before the log was compacted may come, in part, late or not at all',
  async t => {
    for (const [entries, base] of [
      [entriesOf([1, 1], 6), 6],
      [[], 10],
      [entriesOf([1, 1], 6), 10],
    ] as const) {
      const a = compacted()
      a.receive(matched('c', 2, 6))
      const load = a.loads.shift()
      t.equal(load?.from, 7)
      if (load === undefined) return
      if (base > 6) a.compact(base)
      const loaded = { kind: 'loaded', to: load.to, term: load.term, entries } as const
      const lines = a.step(loaded)
      if (base === 6) t.equal(lines[0], 'a→c append t2 after 6@1: 7@1 8@1 commit 10')
      else t.strictSame(lines, ['send snapshot to c from 10 on'])
    }
    const a = compacted()
    a.receive(matched('c', 2, 6))
    const [load] = a.loads
    if (load === undefined) return
    t.throws(
      () => a.step({ kind: 'loaded', to: load.to, term: load.term, entries: [] }),
      /begin where/,
      'nothing was compacted since',
    )
    const gap = entriesOf([1, 1, 1], 6).filter(({ index }) => index !== 8)
    t.throws(() => a.step({ kind: 'loaded', to: load.to, term: load.term, entries: gap }), /no gap/)
  },
)

t.test(
  'a stream that the log outran: a snapshot, however full its window of what may be lost',
  async t => {
    const a = compacted({ window: { messagesMax: 1, bytesMax: 1 } })
    a.receive(matched('c', 2, 6))
    a.load()
    a.propose('x')
    a.fsync()
    a.receive(matched('b', 2, 11))
    a.compact(11)
    t.strictSame(a.receive(alive('c', 2)), ['send snapshot to c from 11 on'])
    t.strictSame(a.receive(alive('c', 2)), [], 'once')
  },
)

t.test('only what the machine holds is compacted, at an entry of the log', async t => {
  const a = follower({ log: [1, 1, 1], term: 1, commit: 2 })
  const base = (index: number, term: number) => covering(...Array(index).fill(term)).position
  t.throws(() => a.step({ kind: 'compacted', base: base(3, 1) }), /machine holds/)
  t.throws(() => a.step({ kind: 'compacted', base: base(2, 2) }), /one of its entries/)
  a.step({ kind: 'compacted', base: base(2, 1) })
  t.match(a.raft.base, { index: 2, term: 1 })
  t.match(a.untilElection(), [/pre-vote\? t2 last 3@1 commit 2@1/], 'the term at the base is known')
})

t.test('a compacted leader still serves who follows, and takes changes', async t => {
  const a = compacted()
  t.equal(a.propose('x')[0], 'accepted 11@2: 0')
  a.fsync()
  a.receive(matched('b', 2, 11))
  t.match(a.change(add('d'))[0], /^accepted/)
})
