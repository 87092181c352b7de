import t from 'tap'
import type { SnapshotHeader } from '../../src/raft/types.ts'
import { members } from './changes.ts'
import { entriesOf } from './entries.ts'
import {
  ELECTION_TICKS,
  follower,
  HEARTBEAT_TICKS,
  leader,
  type Member,
  snapshotOf,
} from './harness.ts'
import {
  alive,
  append,
  ask,
  askIndex,
  beat,
  matched,
  refusal,
  snapshot,
  timeoutNow,
} from './messages.ts'

const ABC = members('abc')

const covering = (...terms: number[]): SnapshotHeader => snapshotOf(entriesOf(terms), ABC)

/** Four entries of term 1, committed, of which the log holds the last two, and a machine that lost them all. */
function withoutMachine(left = 0, voters = ['a', 'b', 'c']): Member {
  const a = follower({ log: [1, 1, 1, 1], term: 1, commit: 4 }, {}, voters)
  a.compact(2)
  a.loseMachine(left)
  return a
}

t.test('dragonboat#156, #369: a machine from before the log applies nothing', async t => {
  for (const left of [0, 1]) {
    const a = withoutMachine(left)
    t.match(a.raft.state, { needsSnapshot: true, commit: 4, applied: left, applying: left })
    a.receive(append({ from: 'b', term: 1, prev: [4, 1], entries: [1], commit: 5 }))
    t.notOk(a.fsync().some(line => line.startsWith('apply')))
    t.equal(a.raft.state.commit, 5)
    t.equal(a.applied.length, left)
  }
  const whole = follower({ log: [1, 1, 1, 1], term: 1, commit: 4 })
  whole.compact(2)
  whole.loseMachine(2)
  t.equal(whole.raft.state.needsSnapshot, false, 'the log holds all that it lacks')
})

t.test('a commit index that was not saved: what was compacted was committed', async t => {
  const a = withoutMachine()
  a.image.hardState = { ...a.image.hardState, commit: covering().position.index }
  a.restart()
  t.equal(a.raft.state.commit, 2)
})

t.test('its log and its vote count', async t => {
  const a = withoutMachine()
  t.strictSame(a.receive(append({ from: 'b', term: 1, prev: [4, 1], entries: [1] })), [
    'write t1 vote null commit 4 add 5@1 last 5@1',
    '  then a→b match t1 5',
  ])
  a.fsync()
  t.ok(
    a
      .receive(ask({ from: 'c', term: 2, last: [5, 1], transfer: true }))
      .includes('  then a→c vote t2 yes commit 4@1'),
  )
})

t.test('it does not lead: neither by timeout, nor by order, nor alone', async t => {
  const a = withoutMachine()
  t.strictSame(a.tick(4 * ELECTION_TICKS), [])
  a.receive(beat({ from: 'b', term: 1 }))
  t.strictSame(a.receive(timeoutNow('b', 1)), [])
  const alone = withoutMachine(0, ['a'])
  t.strictSame(alone.tick(4 * ELECTION_TICKS), [])
  t.match(alone.raft.state, { role: { kind: 'follower' }, leader: null, term: 1 })
})

t.test('it takes no reads', async t => {
  const a = withoutMachine()
  t.strictSame(a.read(1), ['reject no-leader: 1'])
  a.receive(beat({ from: 'b', term: 1 }))
  t.strictSame(a.read(2), ['reject not-leader: 2'])
})

t.test('it asks with every answer to a heartbeat until a snapshot is being installed', async t => {
  const a = withoutMachine()
  const heartbeat = beat({ from: 'b', term: 1, commit: 4 })
  for (let i = 0; i < 2; i++) {
    t.strictSame(a.receive(heartbeat), ['a→b alive t1 needs a snapshot from 2 on'])
  }
  t.strictSame(a.receive(snapshot('b', 1, covering(1, 1, 1))), [
    'install 3@1',
    '  then a→b match t1 3',
  ])
  t.strictSame(a.receive(heartbeat), ['a→b alive t1'])
  a.install()
  t.strictSame(a.receive(heartbeat), ['a→b alive t1'])
})

t.test('a snapshot at the base or above it is installed; the log behind it stays', async t => {
  for (const [index, applies] of [
    [2, 'apply 3..4: from disk'],
    [3, 'apply 4..4: from disk'],
    [4, null],
  ] as const) {
    const a = withoutMachine()
    const header = covering(...Array(index).fill(1))
    t.strictSame(a.receive(snapshot('b', 1, header)), [
      `install ${index}@1`,
      `  then a→b match t1 ${index}`,
    ])
    const lines = a.install()
    t.strictSame(lines, [...(applies === null ? [] : [applies]), `a→b match t1 ${index}`])
    t.match(a.raft.state, { needsSnapshot: false, install: null, commit: 4, applied: 4 })
    t.equal(a.raft.base.index, index)
    t.equal(a.raft.last.index, 4)
    a.restart()
    t.match(a.raft.state, { needsSnapshot: false, commit: 4, applied: 4 })
    t.match(a.untilElection(), [/pre-vote/], 'it may lead again')
  }
})

t.test('one that ends before the log does not help, and is answered with commit', async t => {
  const a = withoutMachine()
  t.strictSame(a.receive(snapshot('b', 1, covering(1))), ['a→b match t1 4'])
  t.match(a.raft.state, { needsSnapshot: true, install: null })
})

t.test('one above the log replaces it', async t => {
  const a = withoutMachine()
  a.receive(snapshot('b', 3, covering(1, 1, 1, 1, 3, 3)))
  a.fsync()
  a.install()
  t.match(a.raft.state, { needsSnapshot: false, commit: 6, applied: 6 })
  t.match(a.raft.last, { index: 6, term: 3 })
  t.equal(a.log(), '')
})

t.test('a committed tail stays, an uncommitted one of another history goes', async t => {
  const a = follower({ log: [1, 1, 1, 1, 2, 2], term: 3, commit: 4 })
  a.compact(2)
  a.loseMachine()
  a.receive(snapshot('b', 3, covering(1, 1, 1, 1, 3)))
  a.install()
  t.match(a.raft.last, { index: 5, term: 3 })
  t.equal(a.log(), '')

  const c = follower({ log: [1, 1, 1, 1, 2, 2], term: 3, commit: 4 })
  c.compact(2)
  c.loseMachine()
  c.receive(snapshot('b', 3, covering(1, 1, 1)))
  c.install()
  t.equal(c.log(), '4@1 5@2 6@2')
})

t.test('a snapshot that contradicts what is committed is no help either', async t => {
  const a = withoutMachine()
  t.throws(() => a.receive(snapshot('b', 2, covering(1, 1, 2))), /contradicts/)
})

t.test('what commits during the install is applied behind the snapshot', async t => {
  const a = withoutMachine()
  a.receive(append({ from: 'b', term: 1, prev: [4, 1], entries: [1], commit: 4 }))
  a.fsync()
  a.receive(snapshot('b', 1, covering(1, 1, 1)))
  t.strictSame(a.receive(beat({ from: 'b', term: 1, commit: 5 })), ['a→b alive t1'])
  t.strictSame(a.install(), ['apply 4..5: from disk', 'a→b match t1 3'])
  t.equal(a.raft.state.commit, 5)
})

t.test('entries that nobody applies do not fill the memory', async t => {
  const a = follower({ log: [1, 1, 1], term: 1, commit: 3 }, { cacheBytesMax: 40 })
  a.compact(2)
  a.loseMachine()
  const message = append({
    from: 'b',
    term: 1,
    prev: [3, 1],
    entries: Array(50).fill(1),
    commit: 53,
  })
  a.receive(message)
  a.fsync()
  const { cached } = a.raft.image().log
  t.ok(cached.length < 5, `${cached.length} entries`)
  a.receive(snapshot('b', 1, covering(1, 1, 1)))
  t.equal(a.install()[0], 'apply 4..53: from disk')
})

t.test('B11 a change that came meanwhile is still to be applied before it leads', async t => {
  const a = follower({ log: [1, 1, 1], term: 1, commit: 3 }, { cacheBytesMax: 1 })
  a.compact(2)
  a.loseMachine()
  const configuration = members('abcd', { d: 'learner' })
  const change = { from: 'b', term: 1, prev: [3, 1], entries: [1], configuration } as const
  a.receive(append({ ...change, commit: 4 }))
  a.fsync()
  a.receive(snapshot('b', 1, covering(1, 1, 1)))
  const lines = a.raft.step({
    kind: 'snapshot-installed',
    position: covering(1, 1, 1).position,
    configuration: ABC,
  })
  t.equal(lines.at(-1)?.kind, 'apply')
  for (let i = 0; i < 4 * ELECTION_TICKS; i++) t.strictSame(a.raft.step({ kind: 'tick' }), [])
})

/** Leads term 2 with ten entries that b and c hold; its log is whole. */
function settled(): Member {
  const a = leader({ log: [1, 1, 1, 1, 1, 1, 1, 1, 1], term: 1, commit: 9 })
  for (const peer of 'bc') a.receive(matched(peer, 2, 10))
  a.sent = []
  return a
}

const NEEDS = alive('c', 2, 0, 4)
const C = NEEDS.from
const HEARD = (lines: string[]) => lines.filter(line => line.startsWith('send snapshot'))

t.test('the leader sends a snapshot, one at a time, and goes on with entries', async t => {
  const a = settled()
  t.strictSame(a.receive(NEEDS), ['send snapshot to c from 4 on'])
  t.strictSame(a.receive(NEEDS), [], 'it is on its way')
  const lines = a.propose('x')
  t.ok(lines.includes('a→c append t2 after 10@2: 11@2=x commit 10'), lines.join('; '))
  a.receive(matched('c', 2, 11))
  a.fsync()
  t.equal(a.raft.state.commit, 11, 'and counts its acknowledgements')
  t.strictSame(a.receive(NEEDS), [])
})

t.test('a transfer that failed is tried again, at the pace of heartbeats', async t => {
  const a = settled()
  a.receive(NEEDS)
  t.strictSame(a.step({ kind: 'snapshot-sent', to: C, ok: false }), [])
  t.strictSame(a.receive(NEEDS), [])
  a.tick(HEARTBEAT_TICKS)
  t.strictSame(HEARD(a.receive(NEEDS)), [])
  a.tick(HEARTBEAT_TICKS)
  t.strictSame(HEARD(a.receive(NEEDS)), ['send snapshot to c from 4 on'])
})

t.test('after one that arrived it is the peer that says whether it needs another', async t => {
  const a = settled()
  a.receive(NEEDS)
  a.step({ kind: 'snapshot-sent', to: C, ok: true })
  t.strictSame(HEARD(a.receive(NEEDS)), [], 'an answer from before')
  a.receive(matched('c', 2, 10))
  a.tick(2 * HEARTBEAT_TICKS)
  t.strictSame(HEARD(a.receive(alive('c', 2))), [])
  t.strictSame(
    HEARD(a.receive(NEEDS)),
    ['send snapshot to c from 4 on'],
    'it lost its machine again',
  )
})

t.test('a leader whose own machine is not that far yet sends none', async t => {
  const a = settled()
  t.strictSame(a.receive(alive('c', 2, 0, 11)), [])
  a.propose('x')
  a.fsync()
  a.receive(matched('b', 2, 11))
  t.equal(a.raft.state.applied, 11)
  t.strictSame(HEARD(a.receive(alive('c', 2, 0, 11))), ['send snapshot to c from 11 on'])
})

t.test('a peer that lacks both entries and machine gets one snapshot', async t => {
  const a = settled()
  a.receive(NEEDS)
  a.step({ kind: 'unreachable', peer: C })
  a.compact(10)
  const behind = refusal({ from: 'c', term: 2, prevIndex: 10, hint: [4, 1] })
  t.strictSame(HEARD(a.receive(behind)), [])
  t.strictSame(HEARD(a.receive(NEEDS)), [])
  a.step({ kind: 'snapshot-sent', to: C, ok: true })
  a.tick(2 * HEARTBEAT_TICKS)
  t.strictSame(HEARD(a.receive(matched('c', 2, 10))), [])
  t.strictSame(HEARD(a.receive(alive('c', 2))), [])
})

t.test('the leadership is not handed to a peer that cannot take it', async t => {
  const a = settled()
  a.receive(alive('b', 2, 0, 4))
  t.strictSame(a.transfer(null), ['a→c timeout-now t2'])
})

t.test(
  '§6.4 a peer without a machine still confirms reads, and asks for none of its own',
  async t => {
    const a = settled()
    a.receive(askIndex({ from: 'b', term: 2, context: 7 }))
    t.ok(a.receive(alive('c', 2, a.context, 4)).includes('a→b read-index t2 10 round 7'))
  },
)
