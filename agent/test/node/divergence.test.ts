import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { CommittedEntry, Result } from '../../src/machine/state-machine.ts'
import {
  type ChainReport,
  DivergenceDetector,
  decodeReport,
  encodeReport,
} from '../../src/node/divergence.ts'
import type { Quarantined, QuarantineMark } from '../../src/node/quarantine.ts'
import { type Configuration, initialConfiguration } from '../../src/raft/configuration.ts'
import { asLogIndex, asNodeId, asTerm, type NodeId } from '../../src/raft/types.ts'
import { eventually, InProcessCluster, ListMachine, type Replica } from './in-process-cluster.ts'

const id = asNodeId
const address = (name: string) => {
  return { id: id(name), address: `${name}:1`, raftBind: `${name}:2`, gateway: null }
}
const voters = (names: string): Configuration => initialConfiguration([...names].map(address))

/** "x@7" or "x@7.2": hash, entry, and term (1 unless said). */
function report(text: string): ChainReport {
  const [hash = '', position = ''] = text.split('@')
  const [index, term = '1'] = position.split('.')
  return {
    index: asLogIndex(Number(index)),
    term: asTerm(Number(term)),
    chainHash: Uint8Array.from(Buffer.from(hash)),
  }
}

/** The verdict of a, which came to `own` at time 0, on what it heard of the others. */
function verdict(
  configuration: Configuration,
  own: string,
  heard: Readonly<Record<string, string>>,
  now = 0,
) {
  const detector = new DivergenceDetector(id('a'))
  detector.passed(report(own), 0)
  for (const [from, text] of Object.entries(heard)) detector.heard(id(from), report(text))
  return detector.verdict(configuration, now)
}

const LONG = 60_000
const hex = (hash: string) => Buffer.from(hash).toString('hex')

t.test('who is with a majority of the voters is right', async t => {
  t.strictSame(verdict(voters('abc'), 'x@7', { b: 'x@7' }), { kind: 'agreed' })
  t.strictSame(verdict(voters('abc'), 'x@7', { b: 'y@7', c: 'x@7' }), { kind: 'agreed' })
  t.strictSame(verdict(voters('a'), 'x@7', {}), { kind: 'agreed' }, 'alone')
})

t.test('who is not knows it as soon as a majority has spoken', async t => {
  const differs = { kind: 'differs', majority: hex('y') }
  t.strictSame(verdict(voters('abc'), 'x@7', { b: 'y@7', c: 'y@7' }), differs)
  t.strictSame(verdict(voters('abcde'), 'x@7', { b: 'y@7', c: 'y@7', d: 'y@7' }), differs)
  const other = { kind: 'differs', majority: hex('x') }
  t.strictSame(verdict(voters('abc'), 'x@7.1', { b: 'x@7.2', c: 'x@7.2' }), other, 'another term')
})

t.test(
  'nobody guesses: without a majority it is said that nobody can tell, in the end',
  async t => {
    const undecided = { kind: 'undecided' }
    const open = { kind: 'open' }
    t.strictSame(verdict(voters('ab'), 'x@7', { b: 'y@7' }), undecided, 'two that differ')
    t.strictSame(verdict(voters('abc'), 'x@7', { b: 'y@7', c: 'z@7' }), undecided)
    t.strictSame(verdict(voters('abcd'), 'x@7', { b: 'x@7', c: 'y@7', d: 'y@7' }), undecided)
    t.strictSame(verdict(voters('abc'), 'x@7', { b: 'y@7' }), open, 'one may still speak')
    t.strictSame(verdict(voters('abc'), 'x@7', { b: 'y@7' }, LONG), undecided)
    const silent = verdict(voters('abc'), 'x@7', {}, LONG)
    t.strictSame(silent, open, 'silence is no difference: the others are down')
  },
)

t.test('only what was said of the same entry counts', async t => {
  t.strictSame(verdict(voters('abc'), 'x@7', { b: 'y@6', c: 'y@8' }, LONG), { kind: 'open' })
  const detector = new DivergenceDetector(id('a'))
  detector.heard(id('b'), report('y@7'))
  detector.heard(id('c'), report('y@7'))
  t.strictSame(detector.verdict(voters('abc'), 0), { kind: 'open' }, 'it is not there yet')
  detector.passed(report('x@7'), 0)
  t.equal(detector.verdict(voters('abc'), 0).kind, 'differs')
  detector.passed(report('x@9'), 0)
  t.equal(detector.verdict(voters('abc'), LONG).kind, 'open')
})

t.test('learners and edges compare themselves, and do not count', async t => {
  const { members } = voters('abc')
  const edge = { ...address('e'), role: 'edge' as const, incarnation: '' }
  const configuration = { members: [...members, edge], outgoing: [] }
  const heard = { b: 'x@7', c: 'y@7', e: 'y@7' }
  t.equal(verdict(configuration, 'y@7', heard).kind, 'agreed', 'c and a, not e')
  const ofEdge = new DivergenceDetector(id('e'))
  ofEdge.passed(report('y@7'), 0)
  ofEdge.heard(id('a'), report('x@7'))
  t.equal(ofEdge.verdict(configuration, 0).kind, 'open')
  ofEdge.heard(id('b'), report('x@7'))
  t.strictSame(ofEdge.verdict(configuration, 0), { kind: 'differs', majority: hex('x') })
})

t.test('§6 while there are two halves, a majority of each has to agree', async t => {
  const joint = { ...voters('abcde'), outgoing: [id('a'), id('b'), id('c')] }
  t.equal(verdict(joint, 'x@7', { c: 'y@7', d: 'y@7', e: 'y@7' }, LONG).kind, 'undecided')
  t.equal(verdict(joint, 'x@7', { b: 'y@7', c: 'y@7', d: 'y@7' }).kind, 'differs')
})

t.test('who differed once is not trusted before it has agreed again', async t => {
  const detector = new DivergenceDetector(id('a'))
  const configuration = voters('abc')
  detector.passed(report('x@7'), 0)
  detector.heard(id('b'), report('x@7'))
  detector.heard(id('c'), report('y@7'))
  t.strictSame(detector.differing(configuration), ['c'])
  detector.passed(report('x@8'), 0)
  t.strictSame(detector.differing(configuration), ['c'])
  detector.heard(id('c'), report('x@8'))
  t.strictSame(detector.differing(configuration), [])
})

t.test('who missed a report is told again, once', async t => {
  const detector = new DivergenceDetector(id('a'))
  t.equal(detector.heard(id('b'), report('x@7')), false, 'a has nothing to tell')
  detector.passed(report('x@7'), 0)
  t.equal(detector.heard(id('c'), report('x@7')), true)
  t.equal(detector.heard(id('c'), report('x@7')), false)
  t.equal(detector.heard(id('c'), report('x@6')), false)
})

t.test('a report survives the wire; what is none is refused', async t => {
  t.strictSame(decodeReport(encodeReport(report('hash@7.3'))), report('hash@7.3'))
  t.equal(decodeReport(Uint8Array.of(2, 1, 2, 3)), null, 'a notice of another kind')
  const bytes = encodeReport(report('hash@7.3'))
  for (let end = 0; end < bytes.length; end++) {
    t.throws(() => decodeReport(bytes.subarray(0, end)), { name: 'DecodeError' })
  }
  const negative = encodeReport({ ...report('x@7'), index: -1 as ChainReport['index'] })
  t.throws(() => decodeReport(negative), { name: 'DecodeError' })
})

/** Answers otherwise than the others from now on, as a machine with a random() in it would. */
class OddMachine extends ListMachine {
  isOdd = false

  override apply(entries: readonly CommittedEntry[], configuration: Uint8Array) {
    const changed = entries.map(entry => {
      const { command } = entry
      return this.isOdd && command !== null
        ? { ...entry, command: Buffer.concat([command, Buffer.from('?')]) }
        : entry
    })
    return super.apply(changed, configuration) as readonly (Result | null)[]
  }
}

class Mark implements QuarantineMark {
  written: Quarantined | null = null
  read = () => Promise.resolve(this.written)
  write = (quarantined: Quarantined) => {
    this.written = quarantined
    return Promise.resolve()
  }
}

async function compared(t: Test, size = 3) {
  const marks = new Map<NodeId, Mark>()
  const markOf = (of: NodeId) => {
    const mark = new Mark()
    marks.set(of, mark)
    return mark
  }
  const cluster = await InProcessCluster.start(size, {
    machineOf: () => new OddMachine(),
    checkIntervalMs: 50,
    markOf,
  })
  t.teardown(() => cluster.stop())
  const checked = (replicas: readonly Replica[]) => {
    const floor = Math.max(...replicas.map(({ node }) => node.status().appliedIndex))
    return eventually('a later check that all of them agree upon', () => {
      const checks = replicas.map(({ node }) => node.status().check)
      return checks.every(each => each?.verdict === 'agreed' && each.index > floor) || undefined
    })
  }
  return { cluster, marks, checked }
}

function makeOdd({ machine }: Replica): void {
  if (machine instanceof OddMachine) machine.isOdd = true
}

const quarantinedOf = (cluster: InProcessCluster) =>
  cluster.replicas.filter(({ node }) => node.status().quarantine !== null)

for (const who of ['a follower', 'the leader'] as const) {
  t.test(
    `${who} whose machine answers otherwise takes itself out, and the rest goes on`,
    async t => {
      const { cluster, marks, checked } = await compared(t)
      await cluster.write('a')
      const writing = cluster.write('b')
      await checked(cluster.replicas)
      await writing
      const leader = await cluster.leader()
      const odd = who === 'the leader' ? leader : cluster.replicas.find(each => each !== leader)
      if (odd === undefined) throw new Error('three nodes')
      makeOdd(odd)
      await cluster.write('c')
      await eventually('it is found', () => odd.node.status().quarantine ?? undefined)
      const rest = cluster.replicas.filter(each => each !== odd)
      const next = await eventually('another node leads', () =>
        rest.find(({ node }) => node.status().role === 'leader'),
      )
      t.not(next.id, odd.id)
      const status = odd.node.status()
      t.match(
        status.quarantine,
        /^in quarantine: at entry \d+ the machine had come to [0-9a-f]{16}…/,
      )
      t.equal(status.notReady, status.quarantine)
      t.notOk(status.ready)
      t.match(status.check, { verdict: 'differs' })
      await t.rejects(odd.node.query(null), { name: 'NotServing', message: /this node is in quar/ })
      t.strictSame(await odd.node.linearizable(5_000), { kind: 'no-leader' })
      t.match(marks.get(odd.id)?.written, { index: Number, own: /^[0-9a-f]{64}$/ })
      t.strictSame(odd.fatal, [], 'it goes on as a voter')

      const more = checked(rest)
      await cluster.write('d')
      await more
      await eventually('the others serve', () => {
        return rest.every(({ machine }) => machine.commands.join() === 'a,b,c,d') || undefined
      })
      t.strictSame(quarantinedOf(cluster), [odd], 'and nobody else')
      t.notOk(odd.node.status().role === 'leader')
      const { index } = rest[0]?.node.status().check ?? {}
      await eventually('it passes that check too', () => {
        return (odd.node.status().check?.index ?? 0) >= (index ?? 0) || undefined
      })
      t.match(odd.node.status().check, { verdict: 'differs' }, 'and goes on to differ')
    },
  )
}

t.test('with one of three down two that differ say so, and both go on serving', async t => {
  const { cluster, checked } = await compared(t)
  const first = checked(cluster.replicas)
  await cluster.write('a')
  await first
  const leader = await cluster.leader()
  const [odd, away] = cluster.replicas.filter(each => each !== leader)
  if (odd === undefined || away === undefined) throw new Error('three nodes')
  cluster.network.isolate(away.id)
  makeOdd(odd)
  await cluster.write('b')
  await eventually('nobody can tell', () => {
    const verdicts = [leader, odd].map(({ node }) => node.status().check?.verdict)
    return verdicts.every(each => each === 'undecided') || undefined
  })
  t.strictSame(quarantinedOf(cluster), [])
  t.strictSame(await leader.node.query(null), ['a', 'b'])
  cluster.network.heal()
  await eventually('the third one decides', async () => {
    await cluster.write('c')
    return odd.node.status().quarantine ?? undefined
  })
  t.strictSame(quarantinedOf(cluster), [odd])
})

t.test('with two of three down nobody is accused', async t => {
  const { cluster, checked } = await compared(t)
  const first = checked(cluster.replicas)
  await cluster.write('a')
  await first
  const leader = await cluster.leader()
  for (const { id: other } of cluster.replicas) {
    if (other !== leader.id) cluster.network.isolate(other)
  }
  const lost = leader.node.propose(Buffer.from('b'))
  t.not((await lost).kind, 'applied')
  t.strictSame(quarantinedOf(cluster), [])
  t.not(leader.node.status().check?.verdict, 'undecided')
  cluster.network.heal()
  await cluster.leader()
  const again = checked(cluster.replicas)
  await cluster.write('c')
  await again
})

t.test(
  'a node that was marked is in quarantine from its first moment, and never leads',
  async t => {
    const written = {
      index: asLogIndex(9),
      own: 'ab'.repeat(32),
      majority: 'cd'.repeat(32),
      since: '2026-01-01T00:00:00.000Z',
    }
    const marked = id('n1')
    const cluster = await InProcessCluster.start(3, {
      markOf: of => {
        const mark = new Mark()
        if (of === marked) mark.written = written
        return mark
      },
    })
    t.teardown(() => cluster.stop())
    const [odd] = cluster.replicas
    if (odd === undefined) throw new Error('three nodes')
    t.match(odd.node.status().quarantine, /at entry 9 /)
    for (const to of [marked, id('n2'), id('n3'), marked]) {
      const leader = await cluster.leader()
      t.not(leader.id, marked)
      await cluster.write(`before ${to}`)
      const outcome = await leader.node.transfer(to)
      t.equal(outcome.kind, to === marked ? 'failed' : 'done', `to ${to}`)
    }
    await t.rejects(odd.node.query(null), { name: 'NotServing' })
  },
)

t.test('a mark that cannot be written stops the node: a restart would serve again', async t => {
  const cluster = await InProcessCluster.start(3, {
    machineOf: () => new OddMachine(),
    checkIntervalMs: 50,
    markOf: () => ({
      read: () => Promise.resolve(null),
      write: () => Promise.reject(new Error('EIO')),
    }),
  })
  t.teardown(() => cluster.stop())
  const leader = await cluster.leader()
  const odd = cluster.replicas.find(each => each !== leader)
  if (odd === undefined) throw new Error('three nodes')
  makeOdd(odd)
  await cluster.write('a')
  await eventually('it has stopped', () => odd.fatal[0])
  t.match(odd.fatal, [{ message: 'EIO' }])
})

t.test('a snapshot carries the chain: who went on from it agrees', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'chain-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const identity = { clusterId: 'c', nodeId: id('a'), incarnation: 'a-1' }
  const entry = (index: number): CommittedEntry => ({
    position: { index: asLogIndex(index), term: asTerm(1) },
    command: Buffer.from(`c${index}`),
    timeMs: 0,
    idempotency: null,
  })
  const [from, to] = [new ListMachine(), new ListMachine()]
  for (const machine of [from, to]) machine.open(identity)
  from.apply([1, 2, 3].map(entry), new Uint8Array(0))
  const file = join(directory, 'snapshot')
  await from.snapshot().writeTo(file)
  await to.restore(file)
  for (const machine of [from, to]) machine.apply([4, 5].map(entry), new Uint8Array(0))
  t.strictSame(to.applied().chainHash, from.applied().chainHash)
})
