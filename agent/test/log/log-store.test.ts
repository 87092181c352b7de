import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { MemoryLogStore } from '../../src/log/memory-log-store.ts'
import { SegmentLogStore } from '../../src/log/segment-log-store.ts'
import { asLogIndex } from '../../src/raft/types.ts'
import { batchOf, entriesBetween, IDENTITY, readAll } from './log-model.ts'
import { logStoreContract } from './log-store.contract.ts'
import { SimulatedDisk } from './simulated-disk.ts'

/** A directory of this test alone. */
async function scratch(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'raft-log-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

t.test('memory', async t => {
  const place = async () => {
    const store = new MemoryLogStore()
    return () => store
  }
  logStoreContract(t, place, 100)
})

t.test('segments on a simulated disk', async t => {
  const place = async () => {
    const disk = new SimulatedDisk()
    return () => new SegmentLogStore({ directory: '/data/log', disk, segmentBytes: 8192 })
  }
  logStoreContract(t, place, 100)
})

t.test('segments on the disk of this machine', async t => {
  const parent = await scratch(t)
  const place = async () => {
    const directory = join(await mkdtemp(join(parent, 'log-')), 'not', 'yet', 'there')
    return () => new SegmentLogStore({ directory, segmentBytes: 16_384 })
  }
  logStoreContract(t, place, 10)
})

t.test('a batch of many MiB is one frame, read in the portions asked for', async t => {
  const directory = await scratch(t)
  const store = new SegmentLogStore({ directory })
  await store.open(IDENTITY)
  const entries = entriesBetween({ first: 1, last: 48 }, 1, 2 ** 19)
  await store.persist(batchOf({ entries }))
  await store.close()
  const again = new SegmentLogStore({ directory })
  t.equal((await again.open(IDENTITY)).last.index, 48)
  const read = await again.read(asLogIndex(10), asLogIndex(48), 2 ** 20)
  t.strictSame(read, entries.slice(9, 11))
  await again.close()
})

t.test(
  'what is read keeps only its own payload alive, not the stretch of file around it',
  async t => {
    const store = new SegmentLogStore({ directory: await scratch(t) })
    await store.open(IDENTITY)
    await store.persist(batchOf({ entries: entriesBetween({ first: 1, last: 500 }, 1, 1000) }))
    const [entry] = await store.read(asLogIndex(250), asLogIndex(250), 1)
    t.equal(entry?.payload.buffer.byteLength, 1000)
    await store.close()
  },
)

t.test('close waits for a persist and a read that are under way', async t => {
  const directory = await scratch(t)
  const store = new SegmentLogStore({ directory })
  await store.open(IDENTITY)
  await store.persist(batchOf({ entries: entriesBetween({ first: 1, last: 10 }, 1) }))
  const read = store.read(asLogIndex(1), asLogIndex(10), 1e9)
  const persisted = store.persist(batchOf({ entries: entriesBetween({ first: 11, last: 20 }, 1) }))
  await store.close()
  t.equal((await read).length, 10)
  await persisted
  const again = new SegmentLogStore({ directory })
  t.equal((await readAll(again, await again.open(IDENTITY))).length, 20)
  await again.close()
})

t.test('a second process is refused while the first lives, and not after kill -9', async t => {
  const directory = await scratch(t)
  const { PATH } = process.env
  const script = fileURLToPath(new URL('hold-log.ts', import.meta.url))
  const holder = spawn(process.execPath, ['--import', 'tsx', script, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH },
  })
  t.teardown(() => holder.kill('SIGKILL'))
  await once(holder.stdout, 'data')
  const refused = new SegmentLogStore({ directory }).open(IDENTITY)
  await t.rejects(refused, { name: 'LogRefusal', message: /in use by another process/ })
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  const store = new SegmentLogStore({ directory })
  t.equal((await store.open(IDENTITY)).last.index, 3)
  await store.close()
})
