import t, { type Test } from 'tap'
import type { Cancel, Clock } from '../../src/clock/clock.ts'
import { Expirer } from '../../src/lifetimes/expirer.ts'
import { encodeCommand, type KvCommand } from '../../src/machine/kv/command.ts'
import { operation } from '../../src/machine/kv/operation.ts'
import type { NewSession } from '../../src/machine/kv/session.ts'
import { asTerm } from '../../src/raft/types.ts'
import { SimulatedNode } from '../http/simulated-node.ts'

const SILENT = { info() {}, warn() {}, error() {} }
const KEY = Buffer.from('k')
const SESSION: NewSession = {
  id: 's',
  name: '',
  node: 'node0',
  behavior: 'release',
  ttlMs: 10_000,
  lockDelayMs: 0,
}

/** Monotonic time that moves when told; ticks by hand. Its wall clock is of no use to anybody. */
class HandClock implements Clock {
  #now = 0
  #ticks: (() => void)[] = []

  now(): number {
    return this.#now
  }

  wallMs(): number {
    throw new Error('a wall clock decides nothing here')
  }

  every(_ms: number, callback: () => void): Cancel {
    this.#ticks.push(callback)
    return () => {
      this.#ticks = []
    }
  }

  after(): Cancel {
    return () => {}
  }

  soon(): void {}

  /** One tick, `ms` after the last. */
  async tick(ms: number): Promise<void> {
    this.#now += ms
    for (const tick of this.#ticks) tick()
    await new Promise(setImmediate)
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 250) await this.tick(250)
  }
}

/** A node that may be deposed and come back in another term. */
class Node extends SimulatedNode {
  term = 3

  override status() {
    return { ...super.status(), term: asTerm(this.term) }
  }

  async do(command: KvCommand): Promise<void> {
    const outcome = await this.propose(encodeCommand(command))
    if (outcome.kind !== 'applied') throw new Error(outcome.kind)
  }

  get sessions(): number {
    return this.machine.query({ kind: 'sessions', id: null }).sessions.length
  }

  get holder(): string | null {
    return this.machine.query({ kind: 'get', key: KEY }).row?.session ?? null
  }
}

const lock = (session: string): KvCommand => ({
  kind: 'transaction',
  operations: [operation('lock', KEY, { session })],
})

async function leading(t: Test): Promise<{ node: Node; clock: HandClock; expirer: Expirer }> {
  const node = new Node()
  const clock = new HandClock()
  const expirer = new Expirer({ node, feed: node.machine.changes, clock, logger: SILENT })
  t.teardown(async () => {
    expirer.stop()
    await node.machine.close()
  })
  expirer.start()
  await clock.tick(250)
  return { node, clock, expirer }
}

t.test('a session ends a whole lifetime after it was last renewed, with its locks', async t => {
  const { node, clock } = await leading(t)
  await node.do({ kind: 'create-session', session: SESSION })
  await node.do(lock('s'))
  await clock.pass(9_750)
  t.equal(node.sessions, 1)
  await node.do({ kind: 'renew-session', id: 's' })
  await clock.pass(9_750)
  t.strictSame([node.sessions, node.holder], [1, 's'])
  await clock.pass(500)
  t.strictSame([node.sessions, node.holder], [0, ''])
})

t.test('a renewal that gets into the log before the end wins', async t => {
  const { node, clock } = await leading(t)
  await node.do({ kind: 'create-session', session: SESSION })
  await clock.pass(9_750)
  // The leader has looked, and decides on what it saw.
  const { propose } = node
  node.propose = async (command, idempotency) => {
    node.propose = propose
    await node.do({ kind: 'renew-session', id: 's' })
    return node.propose(command, idempotency)
  }
  await clock.pass(1_000)
  t.equal(node.sessions, 1)
  await clock.pass(10_000)
  t.equal(node.sessions, 0, 'and its new lifetime ends in time')
})

t.test('a new leader waits a whole lifetime, whatever the one before it had counted', async t => {
  const { node, clock } = await leading(t)
  await node.do({ kind: 'create-session', session: SESSION })
  await clock.pass(9_500)
  node.leader = 'node1'
  await clock.pass(60_000)
  t.equal(node.sessions, 1, 'a follower ends nothing')
  node.leader = 'node0'
  node.term = 5
  await clock.pass(9_750)
  t.equal(node.sessions, 1)
  await clock.pass(750)
  t.equal(node.sessions, 0)
})

t.test('deposed and elected again between two looks: a whole lifetime too', async t => {
  const { node, clock } = await leading(t)
  await node.do({ kind: 'create-session', session: SESSION })
  await clock.pass(9_750)
  node.term = 5
  await clock.pass(9_750)
  t.equal(node.sessions, 1)
})

t.test('a process that stood still has heard no renewal: that time does not count', async t => {
  const { node, clock } = await leading(t)
  await node.do({ kind: 'create-session', session: SESSION })
  await clock.pass(5_000)
  await clock.tick(3_600_000)
  t.equal(node.sessions, 1)
  await clock.pass(4_250)
  t.equal(node.sessions, 1)
  await clock.pass(1_000)
  t.equal(node.sessions, 0)
})

t.test('nobody gets a lock before its delay is over, which the leader counts too', async t => {
  const { node, clock } = await leading(t)
  const other = { ...SESSION, id: 'other', ttlMs: 0 }
  await node.do({ kind: 'create-session', session: { ...SESSION, lockDelayMs: 15_000 } })
  await node.do({ kind: 'create-session', session: other })
  await node.do(lock('s'))
  await node.do({ kind: 'destroy-session', id: 's' })
  await node.do(lock('other'))
  t.equal(node.holder, '')
  await clock.pass(14_750)
  await node.do(lock('other'))
  t.equal(node.holder, '')
  await clock.pass(750)
  await node.do(lock('other'))
  t.equal(node.holder, 'other')
})

t.test('keys with a time to live end by themselves, and begin anew when written', async t => {
  const { node, clock } = await leading(t)
  const set = (ttlMs: number): KvCommand => ({
    kind: 'transaction',
    operations: [operation('set', KEY, { value: Buffer.from('v'), ttlMs })],
  })
  await node.do(set(2_000))
  await clock.pass(1_750)
  await node.do(set(2_000))
  await clock.pass(1_750)
  t.equal(node.holder, '', 'the same value again is a new life')
  await clock.pass(750)
  t.equal(node.holder, null)
  await node.do(set(2_000))
  await node.do({ kind: 'set', pairs: [{ key: KEY, value: KEY }] })
  await clock.pass(10_000)
  t.equal(node.holder, '', 'a plain write takes the end away')
})

t.test('an end whose fate is unknown is tried again', async t => {
  const { node, clock } = await leading(t)
  await node.do({ kind: 'create-session', session: SESSION })
  node.cutOff = true
  await clock.pass(11_000)
  t.equal(node.sessions, 1)
  node.cutOff = false
  await clock.pass(500)
  t.equal(node.sessions, 0)
})

t.test('what was missed in the feed is read from the machine', async t => {
  const { node, clock } = await leading(t)
  await node.do({ kind: 'create-session', session: SESSION })
  await clock.pass(5_000)
  const late = { ...SESSION, id: 'late' }
  await node.do({ kind: 'create-session', session: late })
  node.machine.changes.restart(node.applied + 1)
  await node.do({ kind: 'renew-session', id: 'nobody' })
  await clock.pass(5_500)
  t.equal(node.sessions, 1, 'what was known keeps its end, what was not has all of its life')
  await clock.pass(5_000)
  t.equal(node.sessions, 0)
})

t.test('many ends at once go in several entries', async t => {
  const { node, clock } = await leading(t)
  for (let n = 0; n < 1_100; n++) {
    await node.do({ kind: 'create-session', session: { ...SESSION, id: `s${n}` } })
  }
  const before = node.proposals
  await clock.pass(11_000)
  t.equal(node.sessions, 0)
  t.equal(node.proposals - before, 3)
})
