import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { FaultPoint } from '../../src/node/fault-points.ts'
import { asNodeId } from '../../src/raft/types.ts'
import { eventually } from './in-process-cluster.ts'
import { contactOf, KEPT_MAX, Member, StoredCluster } from './stored-cluster.ts'

t.setTimeout(120_000)

for (const kind of ['durable', 'memory'] as const) {
  t.test(`${kind}: under load the log stays short, and nothing is lost`, async t => {
    const cluster = await StoredCluster.start(t, kind)
    for (let round = 0; round < 5; round++) await cluster.writeMuch()
    await cluster.equal()
    for (const { node, id } of cluster.members) {
      const { compactions, snapshots, logBytes } = node.measures()
      t.ok(compactions >= 3, `${id}: ${compactions} compactions`)
      t.equal(snapshots.installs, 0, 'nobody fell behind')
      t.ok(logBytes < 40 * KEPT_MAX * 300, `${id}: ${logBytes} bytes are left`)
    }
    t.strictSame(cluster.fatal, [])
  })

  t.test(`${kind}: who missed more than the logs keep is given a snapshot, under load`, async t => {
    const cluster = await StoredCluster.start(t, kind)
    await cluster.write(30)
    const behind = await cluster.follower()
    behind.cutOff()
    await cluster.writeMuch()
    const writing = cluster.write(300)
    behind.heal()
    await eventually('a snapshot is installed', () =>
      behind.node.measures().snapshots.installs > 0 ? true : undefined,
    )
    await writing
    await cluster.equal()
    const { compactions: _, snapshots } = behind.node.measures()
    t.match(snapshots, { installs: 1, received: 1 })
    t.match((await cluster.leader()).node.measures().snapshots, { sent: 1, installs: 0 })
    await cluster.writeMuch()
    await cluster.equal()
    t.strictSame(cluster.fatal, [])
  })

  t.test(`${kind}: a stopped node that missed as much returns by a snapshot too`, async t => {
    const cluster = await StoredCluster.start(t, kind)
    await cluster.write(30)
    const behind = await cluster.follower()
    await behind.stop()
    await cluster.writeMuch()
    await behind.start()
    await cluster.equal()
    t.equal(behind.node.measures().snapshots.installs, 1)
    await behind.stop()
    await behind.start()
    await cluster.equal()
    t.equal(behind.node.measures().snapshots.installs, 0, 'it keeps what it was given')
    t.strictSame(cluster.fatal, [])
  })

  t.test(`${kind}: what waits at a node that is given a snapshot is answered`, async t => {
    const cluster = await StoredCluster.start(t, kind)
    await cluster.write(10)
    const old = await cluster.leader()
    old.cutOff()
    const pending = old.node.propose(Buffer.from('nothing that a machine could read'))
    await eventually('another leads', () =>
      cluster.members.some(each => each.id !== old.id && each.status.role === 'leader')
        ? true
        : undefined,
    )
    // The former leader still says that it leads: writes have to find the other one.
    await eventually('the former one knows', () =>
      old.status.role === 'leader' ? undefined : true,
    )
    await cluster.writeMuch()
    const { lastIndex } = (await cluster.leader()).status
    const waiting = old.node.waitApplied(lastIndex, 60_000)
    let told = 0
    const stop = old.machine.changes.listen({ kind: 'prefix', bytes: new Uint8Array(0) }, () => {
      told++
    })
    const before = old.machine.changes.last
    old.heal()
    t.equal(await waiting, true)
    stop()
    t.ok(told > 0, 'who listens is called')
    const indexesOf = ({ changes }: typeof old.machine) =>
      changes.read(before, 1_000)?.map(({ index }) => index)
    const expected = indexesOf((await cluster.leader()).machine)
    t.ok((expected?.length ?? 0) > 0)
    t.strictSame(indexesOf(old.machine), expected, 'what was skipped came with the snapshot')
    t.match(await pending, { kind: /unknown|no-leader/ })
    t.equal((await old.node.linearizable(5_000)).kind, 'ready')
    await cluster.equal()
    t.strictSame(cluster.fatal, [])
  })

  t.test(`${kind}: a machine that is lost is fetched, and nothing is served before`, async t => {
    const cluster = await StoredCluster.start(t, kind)
    await cluster.writeMuch()
    const lost = await cluster.follower()
    await lost.stop()
    lost.loseMachine()
    cluster.network.isolate(lost.id)
    await lost.start()
    lost.cutOff()
    t.match(lost.status, { ready: false, notReady: /ends before its log begins/ })
    await t.rejects(lost.node.query({ kind: 'lifetimes' }), { name: 'NotServing' })
    lost.heal()
    await cluster.equal()
    t.equal(lost.node.measures().snapshots.installs, 1)
    await eventually('it is ready', () => lost.status.ready || undefined)
    await cluster.writeMuch()
    await cluster.equal()
    t.strictSame(cluster.fatal, [])
  })

  t.test(`${kind}: lost where nobody else has it: refused in words, not waited for`, async t => {
    const cluster = await StoredCluster.start(t, kind, 1)
    await cluster.writeMuch()
    const [member] = cluster.members
    if (member === undefined) throw new Error('no member')
    await member.stop()
    member.loseMachine()
    await t.rejects(member.start(), { reason: 'lost', message: /no other member to fetch/ })
    await member.stop()
  })

  t.test(`${kind}: a restart replays the tail, and asks nobody for a snapshot`, async t => {
    const cluster = await StoredCluster.start(t, kind, 1)
    await cluster.writeMuch()
    const [member] = cluster.members
    if (member === undefined) throw new Error('no member')
    const { lastIndex } = member.status
    await member.stop()
    await member.start()
    const [found] = member.lines.findLast(([, words]) => words === 'recovered') ?? []
    const { replays } = found as { replays: number }
    t.ok(replays < 3 * KEPT_MAX, `${replays} of ${lastIndex} entries are replayed`)
    await cluster.equal()
    t.match(member.node.measures().snapshots, { installs: 0, received: 0 })
  })

  t.test(`${kind}: a member that was removed comes back on a new disk, by a snapshot`, async t => {
    const cluster = await StoredCluster.start(t, kind)
    await cluster.write(30)
    const old = await cluster.follower()
    const leader = await cluster.leader()
    await changed(leader, { kind: 'remove', id: old.id })
    await old.stop()
    cluster.members.splice(cluster.members.indexOf(old), 1)
    await cluster.writeMuch()
    const fresh = new Member(cluster, { id: old.id, founders: null, disk: 2 })
    cluster.members.push(fresh)
    await fresh.start()
    fresh.node.acquaint(['n1', 'n2', 'n3'].map(id => contactOf(asNodeId(id))))
    const { raftBind } = contactOf(old.id)
    await changed(leader, { kind: 'add', id: old.id, raftBind, edge: false })
    await eventually('it votes', () =>
      fresh.status.members.find(({ id }) => id === old.id)?.role === 'voter' ? true : undefined,
    )
    await cluster.equal()
    t.equal(fresh.node.measures().snapshots.installs, 1)
    t.strictSame(cluster.fatal, [])
  })

  for (const point of [
    'transfer:whole',
    'install:before',
    'install:marked',
    'install:restored',
    'install:reset',
  ] as const) {
    t.test(
      `${kind}: ended at ${point}: the next start has the old state or the new one`,
      async t => {
        const cluster = await StoredCluster.start(t, kind)
        await cluster.write(30)
        const behind = await cluster.follower()
        const before = await heldBy(behind)
        behind.cutOff()
        await cluster.writeMuch()
        behind.failAt(point)
        behind.heal()
        if (point !== 'transfer:whole') await behind.failed()
        else await eventually('it came there', () => behind.reached.has(point) || undefined)
        await behind.stop()
        cluster.network.isolate(behind.id)
        await behind.start()
        const { firstIndex, lastIndex, chain } = behind.status
        // An entry that was on its way when it was cut off may have arrived: the old log is one longer then.
        const isNew = firstIndex > before
        t.equal(isNew, AFTER_MARK.has(point), `from ${firstIndex} to ${lastIndex}, was ${before}`)
        t.ok(lastIndex >= before, 'nothing of either is missing')
        t.ok(chain.index <= lastIndex && chain.index >= firstIndex - 1, 'so does the machine')
        behind.heal()
        await cluster.equal()
        await cluster.writeMuch()
        await cluster.equal()
      },
    )
  }

  for (const point of ['compact:before', 'compact:posted', 'compact:after'] as const) {
    t.test(`${kind}: ended at ${point}: nothing is lost`, async t => {
      const cluster = await StoredCluster.start(t, kind)
      const follower = await cluster.follower()
      follower.failAt(point)
      await cluster.write(4 * KEPT_MAX)
      await follower.failed()
      await follower.stop()
      await cluster.writeMuch()
      follower.heal()
      await follower.start()
      await cluster.writeMuch()
      await cluster.equal()
    })
  }
}

/** Where the new state is sure to come. */
const AFTER_MARK: ReadonlySet<FaultPoint> = new Set([
  'install:marked',
  'install:restored',
  'install:reset',
])

async function heldBy({ node }: Member): Promise<number> {
  return eventually('it has applied what it knows of', () => {
    const { appliedIndex, lastIndex } = node.status()
    return appliedIndex === lastIndex ? lastIndex : undefined
  })
}

async function changed(
  { node }: Member,
  change: Parameters<Member['node']['change']>[0],
): Promise<void> {
  await eventually(`${change.kind} is done`, async () => {
    const { kind } = await node.change(change)
    return kind === 'applied' || kind === 'unchanged' ? true : undefined
  })
}

t.test('a damaged machine without which its log is too short stays where it is', async t => {
  const cluster = await StoredCluster.start(t, 'durable', 1)
  await cluster.writeMuch()
  const [member] = cluster.members
  if (member === undefined) throw new Error('no member')
  await member.stop()
  const file = join(member.directory, 'kv.sqlite')
  const whole = readFileSync(file)
  const damaged = Uint8Array.from(whole)
  const middle = damaged.length >>> 1
  damaged[middle] = (damaged[middle] ?? 0) ^ 0x55
  writeFileSync(file, damaged)
  // Not `damage`: that would have it moved away, to be fetched from nobody.
  await t.rejects(member.start(), { reason: 'lost', message: /kv\.sqlite is damaged.*put back/ })
  await member.stop()
  t.strictSame(readFileSync(file), Buffer.from(damaged))
  writeFileSync(file, whole)
  await member.start()
  await cluster.equal()
})
