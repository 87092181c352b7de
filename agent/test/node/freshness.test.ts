import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { Freshness } from '../../src/node/freshness.ts'
import type { Message } from '../../src/raft/message.ts'
import { asLogIndex, asNodeId, asTerm } from '../../src/raft/types.ts'

const index = asLogIndex
const leader = asNodeId('leader')
const own = asNodeId('own')

const heartbeat = (commit: number): Message => ({
  kind: 'heartbeat',
  from: leader,
  to: own,
  term: asTerm(1),
  commit: index(commit),
  context: 0,
})
const append = (commit: number): Message => ({
  kind: 'append-entries',
  from: leader,
  to: own,
  term: asTerm(1),
  prev: { index: index(0), term: asTerm(0) },
  entries: [],
  commit: index(commit),
})

/** Reads that are answered by hand. */
class Reads {
  readonly begun: ((kind: 'ready' | 'no-leader') => Promise<void>)[] = []

  readonly read = (): Promise<{ kind: 'ready' | 'no-leader' }> =>
    new Promise(resolve => {
      this.begun.push(async kind => {
        resolve({ kind })
        await turn()
      })
    })
}

t.test('the age counts from the beginning of the last read that could be answered', async t => {
  const freshness = new Freshness(100)
  const reads = new Reads()
  t.equal(freshness.stalenessMs(1_000), null)
  freshness.prove(1_000, reads.read)
  t.equal(freshness.stalenessMs(1_010), null)
  await reads.begun[0]?.('ready')
  t.equal(freshness.stalenessMs(1_010), 10)
  freshness.prove(1_099, reads.read)
  t.equal(reads.begun.length, 1, 'not due')
  freshness.prove(1_100, reads.read)
  t.equal(freshness.stalenessMs(1_150), 150, 'the new one proves nothing yet')
  await reads.begun[1]?.('ready')
  t.equal(freshness.stalenessMs(1_150), 50)
})

t.test('what a paused process finds in its sockets does not make it look young', async t => {
  const freshness = new Freshness(100)
  const reads = new Reads()
  freshness.prove(1_000, reads.read)
  // Ten seconds later it goes on, and the first that it reads are messages of back then.
  freshness.received(append(5))
  freshness.received(heartbeat(5))
  await reads.begun[0]?.('ready')
  t.equal(freshness.stalenessMs(11_000), 10_000)
})

t.test('no read is begun beside another, and one that failed proves nothing', async t => {
  const freshness = new Freshness(100)
  const reads = new Reads()
  freshness.prove(1_000, reads.read)
  freshness.prove(5_000, reads.read)
  t.equal(reads.begun.length, 1)
  await reads.begun[0]?.('no-leader')
  t.equal(freshness.stalenessMs(5_000), null)
  freshness.prove(5_000, reads.read)
  await reads.begun[1]?.('ready')
  t.equal(freshness.stalenessMs(5_030), 30)
})

t.test('caught up means: all that was committed when this leader was first heard', async t => {
  const freshness = new Freshness(100)
  freshness.leaderChanged({ leads: false, last: index(3) })
  freshness.received(heartbeat(0))
  t.notOk(freshness.caughtUp(index(3)), 'a heartbeat does not tell the whole commit index')
  freshness.received(append(7))
  t.notOk(freshness.caughtUp(index(6)))
  t.ok(freshness.caughtUp(index(7)))
  freshness.leaderChanged({ leads: false, last: index(7) })
  t.notOk(freshness.caughtUp(index(7)))
})
