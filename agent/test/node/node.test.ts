import t from 'tap'
import type { Outcome } from '../../src/node/outcome.ts'
import { asLogIndex } from '../../src/raft/types.ts'
import { eventually, InProcessCluster } from './in-process-cluster.ts'

const bytes = (text: string) => Buffer.from(text)

t.test('what was proposed is applied on every node, in one order, once', async t => {
  const cluster = await InProcessCluster.start(3)
  t.teardown(() => cluster.stop())
  const { node } = await cluster.leader()
  const commands = Array.from({ length: 300 }, (_, at) => `c${at}`)
  const outcomes = await Promise.all(commands.map(command => node.propose(bytes(command))))
  t.ok(outcomes.every(({ kind }) => kind === 'applied'))
  t.strictSame(await cluster.converged(300), commands)
})

t.test('proposals of one turn share few writes', async t => {
  const cluster = await InProcessCluster.start(1)
  t.teardown(() => cluster.stop())
  const { node, log } = await cluster.leader()
  let writes = 0
  const persist = log.persist.bind(log)
  log.persist = batch => {
    writes++
    return persist(batch)
  }
  await Promise.all(Array.from({ length: 200 }, (_, at) => node.propose(bytes(`${at}`))))
  t.ok(writes <= 3, `${writes} writes`)
})

t.test('a follower refuses a proposal and names the leader; nothing happens', async t => {
  const cluster = await InProcessCluster.start(3)
  t.teardown(() => cluster.stop())
  const leader = await cluster.leader()
  const follower = cluster.replicas.find(({ id }) => id !== leader.id)
  const refused = await eventually('the follower knows its leader', async () => {
    const outcome = await follower?.node.propose(bytes('x'))
    return outcome?.kind === 'not-leader' ? outcome : undefined
  })
  t.strictSame(refused, { kind: 'not-leader', leader: leader.id })
  await cluster.write('y')
  t.strictSame(await cluster.converged(1), ['y'])
})

t.test('a leader that is cut off never answers "applied"; its entry gives way', async t => {
  const cluster = await InProcessCluster.start(3)
  t.teardown(() => cluster.stop())
  const old = await cluster.leader()
  cluster.network.isolate(old.id)
  const lost = old.node.propose(bytes('lost'))
  await eventually('another leader', async () => {
    const other = cluster.replicas.find(
      ({ id, node }) => id !== old.id && node.status().role === 'leader',
    )
    const outcome = await other?.node.propose(bytes('kept'))
    return outcome?.kind === 'applied' ? outcome : undefined
  })
  cluster.network.heal()
  t.not((await lost).kind, 'applied')
  t.strictSame(await cluster.converged(1), ['kept'])
})

t.test('without a majority a proposal is refused or of unknown fate, and reads go on', async t => {
  const cluster = await InProcessCluster.start(3)
  t.teardown(() => cluster.stop())
  await cluster.write('a')
  await cluster.converged(1)
  const leader = await cluster.leader()
  cluster.network.isolate(leader.id)
  await eventually('the leader steps down', () =>
    leader.node.status().role === 'leader' ? undefined : true,
  )
  t.strictSame(await leader.node.propose(bytes('b')), { kind: 'no-leader' })
  t.strictSame(await leader.node.query(null), ['a'])
  t.notOk(leader.node.status().ready)
})

t.test(
  'waitApplied resolves when the entry is here, and says so when it is not in time',
  async t => {
    const cluster = await InProcessCluster.start(3)
    t.teardown(() => cluster.stop())
    const outcome = await cluster.write('a')
    if (outcome.kind !== 'applied') throw new Error('unreachable')
    for (const { node, machine } of cluster.replicas) {
      t.equal(await node.waitApplied(outcome.position.index, 5_000), true)
      t.strictSame(machine.commands, ['a'])
    }
    const beyond = asLogIndex(outcome.position.index + 100)
    t.equal(await (await cluster.leader()).node.waitApplied(beyond, 50), false)
  },
)

t.test('a failed write stops the node and acknowledges nothing', async t => {
  const cluster = await InProcessCluster.start(1)
  const { node, log, fatal } = await cluster.leader()
  log.persist = () => Promise.reject(new Error('EIO'))
  const outcome = await node.propose(bytes('a'))
  t.strictSame(outcome, { kind: 'unknown' })
  t.match(fatal, [{ message: 'EIO' }])
  t.strictSame(await node.propose(bytes('b')), { kind: 'no-leader' })
})

t.test('a machine that cannot be read stops the node', async t => {
  const cluster = await InProcessCluster.start(1)
  const { node, machine, fatal } = await cluster.leader()
  machine.query = () => {
    throw new Error('damaged')
  }
  await t.rejects(node.query(null), /damaged/)
  t.match(fatal, [{ message: 'damaged' }])
  t.notOk(node.status().ready)
})

t.test('readiness follows the leader: known, and caught up with', async t => {
  const cluster = await InProcessCluster.start(3)
  t.teardown(() => cluster.stop())
  await cluster.write('a')
  for (const { node } of cluster.replicas) {
    await eventually('ready', () => node.status().ready || undefined)
  }
  const staleness = await eventually('each has proven how old it is', () => {
    const all = cluster.replicas.map(({ node }) => node.status().stalenessMs)
    return all.includes(null) ? undefined : all
  })
  t.ok(
    staleness.every(ms => ms !== null && ms < 10_000),
    staleness.join(),
  )
})

t.test('a linearizable read on any node shows what was answered before it', async t => {
  const cluster = await InProcessCluster.start(3)
  t.teardown(() => cluster.stop())
  for (let round = 0; round < 20; round++) {
    await cluster.write(`w${round}`)
    for (const { node, machine } of cluster.replicas) {
      t.equal((await node.linearizable(5_000)).kind, 'ready')
      t.equal(machine.commands.at(-1), `w${round}`)
    }
  }
})

t.test('a leader that is cut off answers no linearizable read', async t => {
  const cluster = await InProcessCluster.start(3)
  t.teardown(() => cluster.stop())
  await cluster.write('a')
  const old = await cluster.leader()
  cluster.network.isolate(old.id)
  t.strictSame(await old.node.linearizable(5_000), { kind: 'no-leader' })
})

t.test('a leader that hands over loses nothing and costs no election timeout', async t => {
  const cluster = await InProcessCluster.start(3)
  t.teardown(() => cluster.stop())
  const old = await cluster.leader()
  const before = Array.from({ length: 50 }, (_, at) => old.node.propose(bytes(`before ${at}`)))
  await cluster.write('appended')
  const handedOver = old.node.handOver(5_000)
  const during = Array.from({ length: 50 }, (_, at) => old.node.propose(bytes(`during ${at}`)))
  await handedOver
  t.not(old.node.status().role, 'leader')
  t.not(old.node.status().leader, null)
  const kinds = (outcomes: Outcome[]) => new Set(outcomes.map(({ kind }) => kind))
  t.strictSame(kinds(await Promise.all(before)), new Set(['applied']))
  t.strictSame(kinds(await Promise.all(during)), new Set(['no-leader']))
  t.equal((await cluster.converged(51)).length, 51)
})

t.test('more writes than can wait are refused at once, surely; the others are applied', async t => {
  const cluster = await InProcessCluster.start(3)
  t.teardown(() => cluster.stop())
  const { node } = await cluster.leader()
  await cluster.write('first')
  const outcomes = await Promise.all(
    Array.from({ length: 700 }, (_, at) => node.propose(bytes(`${at}`))),
  )
  const count = (kind: Outcome['kind']) => outcomes.filter(outcome => outcome.kind === kind).length
  t.equal(count('applied'), 512)
  t.equal(count('overloaded'), 188)
  await cluster.converged(513)
  t.equal((await node.propose(bytes('again'))).kind, 'applied', 'there is room again')
})
