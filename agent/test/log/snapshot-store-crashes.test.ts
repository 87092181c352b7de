import t, { type Test } from 'tap'
import { PIECE_BYTES } from '../../src/log/snapshot-file.ts'
import { SnapshotDamage, type SnapshotStore } from '../../src/log/snapshot-store.ts'
import { SimulatedDisk } from './simulated-disk.ts'
import {
  contentOf,
  equalBytes,
  headerOf,
  namesOn,
  readAll,
  receiveAll,
  sourceOf,
  storeOn,
} from './snapshot-parts.ts'

const sample = contentOf(7)
const header = headerOf(7, sample)

/** Everything that a store does, in the order in which a node lives. */
const LIFE: readonly ((store: SnapshotStore, disk: SimulatedDisk) => Promise<unknown>)[] = [
  store => store.open(null),
  (store, disk) => store.build(sourceOf(disk, 3)),
  (store, disk) => store.build(sourceOf(disk, 4)),
  (store, disk) => store.build(sourceOf(disk, 5, PIECE_BYTES + 3)),
  store => receiveAll(store, header, sample),
  store => store.accept(header),
  // From here on the log names it.
  store => store.adopt(header),
  store => store.dropStaged(),
  (store, disk) => store.build(sourceOf(disk, 8)),
]
const ACCEPTED = 6
const CONTENT = new Map([
  [3, contentOf(3)],
  [4, contentOf(4)],
  [5, contentOf(5, PIECE_BYTES + 3)],
  [7, sample],
  [8, contentOf(8)],
])

/** Index of the newest snapshot after so many acts. */
const NEWEST = [0, 0, 3, 4, 5, 5, 5, 7, 7, 8]

/** How many acts were done when the disk crashed. */
async function live(store: SnapshotStore, disk: SimulatedDisk): Promise<number> {
  let done = 0
  for (const act of LIFE) {
    const ended = await act(store, disk).then(
      () => true,
      () => false,
    )
    if (!ended) break
    done++
  }
  return done
}

/** What the next start finds: whole snapshots, the one that the log names, and nothing unfinished. */
async function judge(t: Test, disk: SimulatedDisk, done: number, label: string): Promise<void> {
  const marked = done >= ACCEPTED ? header : null
  const { store, damage } = storeOn(disk)
  const newest = await store.open(marked)
  t.same(damage, [], label)
  const index = newest?.header.position.index ?? 0
  t.ok(index >= (NEWEST[done] ?? 0), `${label}: ${index}`)
  const isUsed = (name: string) =>
    /^[0-9]{16}-[0-9]{16}-[0-9a-f]{8}\.(record|snapshot)$/.test(name) ||
    (marked !== null && name.startsWith('staging'))
  t.same(
    namesOn(disk).filter(name => !isUsed(name)),
    [],
    label,
  )
  if (newest !== null) {
    const expected = CONTENT.get(index) ?? new Uint8Array(0)
    equalBytes(t, await readAll(store, newest), expected, label)
    equalBytes(t, disk.bytes(await store.checkOut(newest)), expected, label)
  }
  if (marked !== null && done < LIFE.length - 1) {
    equalBytes(t, disk.bytes((await store.markedFile(header)) ?? '/'), sample, label)
  }
  await store.dropStaged()
  await store.build(sourceOf(disk, 20))
  t.equal(store.newest()?.header.position.index, 20, label)
}

t.test('a crash at any step leaves whole snapshots only, and nothing unfinished', async t => {
  const calm = new SimulatedDisk()
  t.equal(await live(storeOn(calm).store, calm), LIFE.length)
  for (let at = 1; at <= calm.operations; at++) {
    for (const cause of ['process died', 'power lost', 'power lost, names kept'] as const) {
      const disk = new SimulatedDisk()
      disk.plan = ({ number }) =>
        number === at ? { code: 'CRASH', keep: offset => offset % 3 > 0 } : null
      const done = await live(storeOn(disk).store, disk)
      await judge(t, disk.restarted(cause), done, `${cause} at ${at}, ${done} done`)
    }
  }
})

t.test('every flipped byte is found before it is used or sent', async t => {
  const disk = new SimulatedDisk()
  const { store } = storeOn(disk)
  await store.open(null)
  await store.build(sourceOf(disk, 3))
  await store.build(sourceOf(disk, 4))
  await receiveAll(store, header, sample)
  await store.accept(header)
  const paths = disk.paths().filter(path => path.includes('/0000'))
  t.equal(paths.length, 4)
  const [, , , file] = paths
  for (const path of [
    ...paths.slice(2),
    '/raft/snapshots/staging',
    '/raft/snapshots/staging.record',
  ]) {
    const whole = disk.bytes(path)
    for (let at = 0; at < whole.length; at++) {
      const bytes = whole.slice()
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8))
      const damaged = disk.restarted('process died')
      damaged.replace(path, bytes)
      const { store: next, damage } = storeOn(damaged)
      const newest = await next.open(header)
      if (newest === null) throw new Error('both are gone')
      const index = newest.header.position.index
      if (path === file) {
        await t.rejects(readAll(next, newest), SnapshotDamage)
        await t.rejects(next.checkOut(newest), SnapshotDamage)
        t.equal(next.newest()?.header.position.index, 3, 'the one before is offered now')
      } else if (path.includes('staging')) {
        t.equal(await next.markedFile(header), null)
        t.equal(damage.length > 0, true)
      } else {
        t.equal(index, 3)
        t.equal(damage.length, 1)
      }
    }
  }
})
