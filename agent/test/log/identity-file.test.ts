import t from 'tap'
import { loadOrCreateIdentity } from '../../src/log/identity-file.ts'
import { SegmentLogStore } from '../../src/log/segment-log-store.ts'
import { asNodeId } from '../../src/raft/types.ts'
import { SimulatedDisk } from './simulated-disk.ts'

const NAME = { clusterId: 'c', nodeId: asNodeId('node0') }

t.test('a new directory draws an incarnation once, and every later start reads it', async t => {
  const disk = new SimulatedDisk()
  let drawn = 0
  const draw = () => `incarnation-${++drawn}`
  const first = await loadOrCreateIdentity('/var/data', NAME, draw, { disk })
  t.strictSame(first, { ...NAME, incarnation: 'incarnation-1' })
  const restarted = disk.restarted('power lost')
  t.strictSame(await loadOrCreateIdentity('/var/data', NAME, draw, { disk: restarted }), first)
  t.equal(drawn, 1)
})

t.test('a power loss at any step of the creation leaves a directory that starts again', async t => {
  const create = (disk: SimulatedDisk, incarnation: string) =>
    loadOrCreateIdentity('/data', NAME, () => incarnation, { disk })
  const whole = new SimulatedDisk()
  await create(whole, 'x')
  for (let at = 1; at <= whole.operations; at++) {
    for (const cause of ['process died', 'power lost', 'power lost, names kept'] as const) {
      const disk = new SimulatedDisk()
      disk.plan = ({ number }) =>
        number === at ? { code: 'CRASH', keep: offset => offset < 20 } : null
      await t.rejects(create(disk, 'lost'))
      const next = disk.restarted(cause)
      const { incarnation } = await create(next, 'new')
      t.equal((await create(next.restarted('power lost'), 'other')).incarnation, incarnation)
    }
  }
})

t.test('files without an identity are refused: they belong to somebody', async t => {
  for (const file of ['log', 'machine.sqlite', 'anything']) {
    const disk = new SimulatedDisk()
    disk.replace('/data', new Uint8Array(0))
    disk.lose('/data')
    await disk.makeDirectory('/data')
    disk.replace(`/data/${file}`, new Uint8Array(1))
    await t.rejects(
      loadOrCreateIdentity('/data', NAME, () => 'x', { disk }),
      { reason: 'lost', message: new RegExp(`identity.json is missing, but ${file} is there`) },
    )
  }
})

t.test('lost+found of a fresh volume is no reason to refuse', async t => {
  const disk = new SimulatedDisk()
  await disk.makeDirectory('/data')
  await disk.makeDirectory('/data/lost+found')
  t.match(await loadOrCreateIdentity('/data', NAME, () => 'x', { disk }), { incarnation: 'x' })
})

t.test('a configuration may lie in the directory that it names as raft_dir', async t => {
  const disk = new SimulatedDisk()
  await disk.makeDirectory('/data')
  disk.replace('/data/config.json', new Uint8Array(1))
  const expected = ['config.json']
  const load = () => loadOrCreateIdentity('/data', NAME, () => 'x', { disk, expected })
  t.match(await load(), { incarnation: 'x' })
  disk.replace('/data/log', new Uint8Array(1))
  disk.lose('/data/identity.json')
  await t.rejects(load(), { message: /identity.json is missing, but log is there/ })
})

t.test('C9 another cluster, another node or an unreadable identity is refused', async t => {
  const disk = new SimulatedDisk()
  await loadOrCreateIdentity('/data', NAME, () => 'x', { disk })
  const load = (name: typeof NAME) => loadOrCreateIdentity('/data', name, () => 'y', { disk })
  const message = /belongs to node node0 of cluster c, this is /
  await t.rejects(load({ ...NAME, clusterId: 'd' }), { reason: 'identity', message })
  await t.rejects(load({ ...NAME, nodeId: asNodeId('node1') }), { reason: 'identity', message })
  for (const text of ['', '{', 'null', '{}', '{"clusterId":"c","nodeId":"node0"}']) {
    disk.replace('/data/identity.json', Buffer.from(text))
    await t.rejects(load(NAME), { reason: 'identity', message: /not an identity/ })
  }
})

t.test(
  'a log that is gone as a whole is refused where the node has taken part already',
  async t => {
    const disk = new SimulatedDisk()
    const identity = { ...NAME, incarnation: 'first' }
    const log = { directory: '/var/data/log', disk }
    const lost = new SegmentLogStore({ ...log, mustExist: true })
    await t.rejects(lost.open(identity), { reason: 'lost', message: /the log is gone/ })
    const created = new SegmentLogStore(log)
    await created.open(identity)
    await created.close()
    const found = new SegmentLogStore({ ...log, mustExist: true })
    await found.open(identity)
    await found.close()
  },
)
