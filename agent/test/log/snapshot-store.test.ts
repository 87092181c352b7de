import t from 'tap'
import { PIECE_BYTES } from '../../src/log/snapshot-file.ts'
import { SnapshotDamage, SnapshotRefused } from '../../src/log/snapshot-store.ts'
import { asLogIndex } from '../../src/raft/types.ts'
import { SimulatedDisk } from './simulated-disk.ts'
import {
  contentOf,
  equalBytes as equal,
  headerOf,
  namesOn as names,
  readAll,
  receiveAll,
  sourceOf,
  storeOn,
} from './snapshot-parts.ts'

const sample = contentOf(7)
const header = headerOf(7, sample)

t.test('what was built is found again, piece by piece', async t => {
  const disk = new SimulatedDisk()
  const { store } = storeOn(disk)
  t.equal(await store.open(null), null)
  const bytes = 2 * PIECE_BYTES + 17
  const built = await store.build(sourceOf(disk, 7, bytes))
  const content = contentOf(7, bytes)
  t.match(built.header, {
    position: { index: 7, term: 3 },
    bytes,
    sha256: headerOf(7, content).sha256,
    id: /^0{15}7-0{15}3-[0-9a-f]{8}$/,
  })
  t.same(store.newest(), built)
  const { store: again, damage } = storeOn(disk.restarted('power lost'))
  const found = await again.open(null)
  t.same(found, built)
  if (found === null) return
  equal(t, await readAll(again, found), content)
  const file = await again.read(found)
  equal(t, await file.read(PIECE_BYTES + 5), content.subarray(PIECE_BYTES + 5, 2 * PIECE_BYTES))
  await file.close()
  t.same(damage, [])
})

t.test('C10 the newest is the one of the highest index', async t => {
  const disk = new SimulatedDisk()
  const { store } = storeOn(disk, { retain: 10 })
  await store.open(null)
  for (const index of [9, 10, 99, 100, 98]) await store.build(sourceOf(disk, index))
  t.equal(store.newest()?.header.position.index, 100)
  const { store: again } = storeOn(disk.restarted('power lost'))
  t.equal((await again.open(null))?.header.position.index, 100)
})

t.test('so many are kept, and whatever is being sent (ClickHouse/NuRaft#118)', async t => {
  const disk = new SimulatedDisk()
  const { store } = storeOn(disk)
  await store.open(null)
  const first = await store.build(sourceOf(disk, 1))
  const [release, releaseToo] = [store.pin(first.header.id), store.pin(first.header.id)]
  for (const index of [2, 3, 4]) await store.build(sourceOf(disk, index))
  t.equal(names(disk).length, 6)
  equal(t, await readAll(store, first), contentOf(1))
  const open = await store.read(first)
  release()
  release()
  await store.build(sourceOf(disk, 5))
  t.equal(names(disk).length, 6, 'another still sends it')
  releaseToo()
  await store.build(sourceOf(disk, 6))
  t.equal(names(disk).length, 4)
  await t.rejects(store.read(first), SnapshotDamage)
  equal(t, await open.read(0), contentOf(1), 'who has it open reads on')
})

t.test('a build that cannot be written leaves nothing, and the next one is made', async t => {
  const disk = new SimulatedDisk()
  const { store } = storeOn(disk)
  await store.open(null)
  await store.build(sourceOf(disk, 1))
  const before = names(disk)
  for (let failing = 1; failing <= 4; failing++) {
    const first = disk.operations
    disk.plan = ({ number }) =>
      number === first + failing ? { code: 'ENOSPC', keep: () => true } : null
    await t.rejects(store.build(sourceOf(disk, 2)), { code: 'ENOSPC' })
    t.same(
      names(disk).filter(name => !name.endsWith('.record') && !name.endsWith('.tmp')),
      before.filter(name => name.endsWith('.snapshot')),
    )
    t.equal(store.newest()?.header.position.index, 1)
  }
  disk.plan = () => null
  t.equal((await store.build(sourceOf(disk, 2))).header.position.index, 2)
  const { store: again, damage } = storeOn(disk.restarted('power lost'))
  await again.open(null)
  t.same(damage, [])
  t.equal(again.newest()?.header.position.index, 2)
})

t.test('one build at a time', async t => {
  const disk = new SimulatedDisk()
  const { store } = storeOn(disk)
  await store.open(null)
  const first = store.build(sourceOf(disk, 1))
  await t.rejects(store.build(sourceOf(disk, 2)), /is being built/)
  t.equal((await first).header.position.index, 1)
})

t.test('pieces are taken in order, whatever comes (attack row 34)', async t => {
  const disk = new SimulatedDisk()
  const { store } = storeOn(disk)
  await store.open(null)
  const piece = (offset: number, length: number) => ({
    header,
    offset,
    bytes: sample.subarray(offset, offset + length),
  })
  t.same(await store.receive(piece(0, 0)), { kind: 'held', bytes: 0 })
  t.same(await store.receive(piece(100, 100)), { kind: 'held', bytes: 0 }, 'a gap')
  t.same(await store.receive(piece(0, 100)), { kind: 'held', bytes: 100 })
  t.same(await store.receive(piece(0, 100)), { kind: 'held', bytes: 100 }, 'twice')
  t.same(await store.receive(piece(250, 50)), { kind: 'held', bytes: 100 }, 'a gap')
  t.same(await store.receive(piece(100, 199)), { kind: 'held', bytes: 299 })
  t.match(await store.receive(piece(299, 1)), { kind: 'whole' })
  t.equal(store.staged(header.id), null, 'not accepted yet')
  t.match(await store.receive(piece(0, 0)), { kind: 'whole' }, 'asked again')
  await store.accept(header)
  const file = store.staged(header.id)
  equal(t, disk.bytes(file ?? ''), sample)
  t.match(await store.receive(piece(0, 10)), { kind: 'whole' }, 'known for good')
})

t.test('what lies about itself is refused, and nothing of it is left (attack row 34)', async t => {
  const disk = new SimulatedDisk()
  const { store } = storeOn(disk, { room: 2 ** 30 })
  await store.open(null)
  const lies = [
    [{ ...header, sha256: 'a'.repeat(64) }, sample, /SHA-256/],
    [{ ...header, bytes: 200 }, sample, /more than the 200 bytes/],
    [{ ...header, bytes: 10 * 2 ** 30 }, sample, /no room: 10737418240 bytes are to come/],
    [{ ...header, id: '../../kv' }, sample, /id/],
    [{ ...header, id: 'staging' }, sample, /id/],
  ] as const
  for (const [lie, content, why] of lies) {
    await t.rejects(receiveAll(store, lie, content, 150), SnapshotRefused)
    await t.rejects(receiveAll(store, lie, content, 150), why)
    t.same(names(disk), [])
  }
  await receiveAll(store, header, sample)
  t.match(await store.receive({ header, offset: 0, bytes: new Uint8Array(0) }), { kind: 'whole' })
})

t.test('another snapshot takes the place of the one before', async t => {
  const disk = new SimulatedDisk()
  const { store } = storeOn(disk)
  await store.open(null)
  await store.receive({ header, offset: 0, bytes: sample.subarray(0, 100) })
  const newer = headerOf(8, contentOf(8))
  t.same(await store.receive({ header: newer, offset: 100, bytes: sample.subarray(0, 9) }), {
    kind: 'held',
    bytes: 0,
  })
  await receiveAll(store, newer, contentOf(8))
  await store.accept(newer)
  t.equal(store.staged(header.id), null)
  equal(t, disk.bytes(store.staged(newer.id) ?? ''), contentOf(8))
  await t.rejects(store.accept(header), /only a snapshot that was received/)
})

t.test(
  'a full or failing disk while receiving: told, nothing left, and the next one is taken',
  async t => {
    for (const code of ['ENOSPC', 'EIO'] as const) {
      for (let failing = 0; ; failing++) {
        const disk = new SimulatedDisk()
        const { store } = storeOn(disk)
        await store.open(null)
        const first = disk.operations
        disk.plan = ({ number, kind }) =>
          number === first + 1 + failing && kind !== 'remove' ? { code, keep: () => false } : null
        const received = receiveAll(store, header, sample)
        const done = await received.then(
          () => true,
          error => {
            t.equal((error as NodeJS.ErrnoException).code, code)
            return false
          },
        )
        if (done) break
        t.same(names(disk), [], `${code} at ${failing}`)
        disk.plan = () => null
        await receiveAll(store, header, sample)
        await store.accept(header)
        t.not(store.staged(header.id), null)
      }
    }
  },
)

t.test('a shorter, longer or missing file is not offered', async t => {
  const disk = new SimulatedDisk()
  const { store } = storeOn(disk)
  await store.open(null)
  const { file } = await store.build(sourceOf(disk, 4))
  for (const change of [
    (content: Uint8Array) => content.subarray(0, 299),
    (content: Uint8Array) => Buffer.concat([content, new Uint8Array(1)]),
    () => null,
  ]) {
    const damaged = disk.restarted('process died')
    const bytes = change(damaged.bytes(file))
    if (bytes === null) damaged.lose(file)
    else damaged.replace(file, bytes)
    const { store: next, damage } = storeOn(damaged)
    t.equal(await next.open(null), null)
    t.equal(damage.length, bytes === null ? 0 : 1)
    t.same(names(damaged), [])
  }
})

t.test('a record under another name is not believed', async t => {
  const disk = new SimulatedDisk()
  const { store } = storeOn(disk)
  await store.open(null)
  const { file, header } = await store.build(sourceOf(disk, 4))
  const id = header.id.replace('4', '9')
  const renamed = disk.restarted('process died')
  renamed.replace(file.replace(header.id, id), disk.bytes(file))
  renamed.replace(`/raft/snapshots/${id}.record`, disk.bytes(`/raft/snapshots/${header.id}.record`))
  const { store: next, damage } = storeOn(renamed)
  t.equal((await next.open(null))?.header.position.index, asLogIndex(4))
  t.match(damage.join(), /is of 0{15}4/)
})

t.test('adopted, a received snapshot is one of the own', async t => {
  const disk = new SimulatedDisk()
  const { store } = storeOn(disk)
  await store.open(null)
  await t.rejects(store.adopt(header), /only a snapshot that was accepted/)
  await receiveAll(store, header, sample)
  await store.accept(header)
  const adopted = await store.adopt(header)
  t.same(await store.adopt(header), adopted, 'repeatable')
  t.same(store.newest(), adopted)
  t.equal(store.staged(header.id), null)
  equal(t, await readAll(store, adopted), sample)
  t.equal(await store.markedFile(header), adopted.file)
})

t.test('what the inspection changed in the file is what is known of it', async t => {
  const disk = new SimulatedDisk()
  const { store } = storeOn(disk)
  await store.open(null)
  await receiveAll(store, header, sample)
  const changed = Buffer.concat([sample, Buffer.from('own identity')])
  disk.replace('/raft/snapshots/staging', changed)
  await store.accept(header)
  t.equal(await store.markedFile(header), '/raft/snapshots/staging')
  const adopted = await store.adopt(header)
  equal(t, await readAll(store, adopted), changed)
  t.equal(await store.markedFile(header), adopted.file, 'known to the log by what was received')
  const { header: own } = adopted
  t.match(own, { id: header.id, bytes: changed.length, sha256: headerOf(7, changed).sha256 })

  const { store: again } = storeOn(disk.restarted('power lost'))
  t.same((await again.open(null))?.header, own)
  const third = new SimulatedDisk()
  const { store: onward } = storeOn(third)
  await onward.open(null)
  await receiveAll(onward, own, changed)
  await onward.accept(own)
  equal(t, third.bytes(onward.staged(own.id) ?? ''), changed, 'it can be sent on to others')
})
