import fc from 'fast-check'
import t, { type Test } from 'tap'
import { crc32c } from '../../src/lib/crc32c.ts'
import { Prng } from '../../src/lib/prng.ts'
import type { LogBatch } from '../../src/log/log-store.ts'
import { decodeHeader, HEAD_BYTES, saltOf } from '../../src/log/record.ts'
import { SegmentLogStore } from '../../src/log/segment-log-store.ts'
import { asLogIndex } from '../../src/raft/types.ts'
import { actAll, openAcknowledged } from './acknowledged.ts'
import {
  after,
  batchFor,
  batchOf,
  EMPTY,
  entriesBetween,
  entryAt,
  hardState,
  IDENTITY,
  lastOf,
  type Model,
  readAll,
  stateOf,
  wish,
} from './log-model.ts'
import { same, seedOf } from './log-store.contract.ts'
import { type Fault, SimulatedDisk } from './simulated-disk.ts'

const DIRECTORY = '/data/log'
const SEGMENTS = [
  '/data/log/0000000001.log',
  '/data/log/0000000002.log',
  '/data/log/0000000003.log',
]
const [FIRST = '', SECOND = '', THIRD = ''] = SEGMENTS

const storeOn = (disk: SimulatedDisk, segmentBytes = 6000) =>
  new SegmentLogStore({ directory: DIRECTORY, disk, segmentBytes })

/** Batches of every sort; the models before and after each. */
function history(seed: number, count: number): { batches: LogBatch[]; models: Model[] } {
  const models: Model[] = [EMPTY]
  const batches: LogBatch[] = []
  for (const step of fc.sample(wish, { seed, numRuns: count })) {
    const model = models.at(-1) ?? EMPTY
    const batch = batchFor(model, step)
    batches.push(batch)
    models.push(after(model, batch))
  }
  return { batches, models }
}

/** Opens, compares with the model, writes on, and finds that too after a power loss and a clean restart. */
async function equalsAndGoesOn(disk: SimulatedDisk, model: Model): Promise<void> {
  const store = storeOn(disk)
  const state = await store.open(IDENTITY)
  same(state, stateOf(model))
  same(await readAll(store, state), model.entries)
  const term = model.hardState.term + 1
  const entries = [entryAt(lastOf(model).index + 1, term, 700)]
  const batch = batchOf({ entries, hardState: hardState(term, 'node0', model.hardState.commit) })
  await store.persist(batch)
  const lost = disk.restarted('power lost')
  await store.close()
  const next = after(model, batch)
  for (const found of [lost, disk]) {
    const again = storeOn(found)
    same(await again.open(IDENTITY), stateOf(next))
    same(await readAll(again, stateOf(next)), next.entries)
    await again.close()
  }
}

/** A log of one segment whose last frame was not followed by a clean stop. */
async function killed(
  bytes: number,
): Promise<{ disk: SimulatedDisk; at: number; end: number; models: Model[] }> {
  const disk = new SimulatedDisk()
  const store = storeOn(disk, 1e6)
  await store.open(IDENTITY)
  const first = batchOf({ entries: entriesBetween({ first: 1, last: 5 }, 1, 50) })
  const last = batchOf({ truncateFrom: 5, entries: [entryAt(5, 2, 0), entryAt(6, 2, bytes)] })
  await store.persist(first)
  const at = usedBytes(disk.bytes(FIRST))
  await store.persist(last)
  const model = after(EMPTY, first)
  const end = usedBytes(disk.bytes(FIRST))
  return { disk, at, end, models: [model, after(model, last)] }
}

/** Where the frames of a sound segment lie. */
function framesOf(bytes: Uint8Array): { at: number; end: number }[] {
  const frames: { at: number; end: number }[] = []
  for (let at = HEAD_BYTES; ; ) {
    const header = decodeHeader(bytes, at, saltOf(IDENTITY))
    if (header === null) return frames
    frames.push({ at, end: at + header.frameBytes })
    at += header.frameBytes
  }
}

/** Where the last frame ends. */
const usedBytes = (bytes: Uint8Array) => framesOf(bytes).at(-1)?.end ?? HEAD_BYTES

/** A clean log of three segments. */
async function threeSegments(): Promise<{ disk: SimulatedDisk; model: Model }> {
  const disk = new SimulatedDisk()
  const store = storeOn(disk)
  await store.open(IDENTITY)
  let model = EMPTY
  while (!disk.paths().includes(THIRD) || model.entries.length % 3 !== 0) {
    const first = model.entries.length + 1
    const batch = batchOf({ entries: entriesBetween({ first, last: first + 1 }, 1, 300) })
    await store.persist(batch)
    model = after(model, batch)
  }
  await store.close()
  return { disk, model }
}

const refuses = (t: Test, disk: SimulatedDisk, message: RegExp, reason = 'damage') =>
  t.rejects(storeOn(disk).open(IDENTITY), { name: 'LogRefusal', message, reason })

t.test('C4 the last frame, cut or zeroed at any of its bytes, is cut off whole', async t => {
  const { disk, at, end, models } = await killed(900)
  const [before = EMPTY, whole = EMPTY] = models
  const bytes = disk.bytes(FIRST)
  for (let cut = at; cut <= end; cut++) {
    const short = disk.restarted('power lost')
    short.replace(FIRST, bytes.slice(0, cut))
    const zeroed = disk.restarted('power lost')
    zeroed.replace(FIRST, bytes.slice().fill(0, cut))
    for (const torn of [short, zeroed]) {
      await equalsAndGoesOn(torn, cut === end ? whole : before)
    }
  }
  t.ok(end - at > 900, 'every byte of the last frame was tried')
})

t.test('C4 pages of the last frame that reach the disk out of order are cut off too', async t => {
  const { disk, at, end, models } = await killed(5000)
  for (let lost = at; lost < end; lost += 97) {
    const torn = disk.restarted('power lost')
    torn.replace(FIRST, disk.bytes(FIRST).fill(0, lost, lost + 512))
    await equalsAndGoesOn(torn, models[0] ?? EMPTY)
  }
  t.ok(end - at > 5000, 'every page of the last frame was lost once')
})

t.test(
  'C4 C5 after a clean stop the last batch has no torn tail: its damage is refused',
  async t => {
    const { disk, model } = await threeSegments()
    const bytes = disk.bytes(THIRD)
    const end = usedBytes(bytes)
    const damaged = disk.restarted('power lost')
    bytes[end - 200] = (bytes[end - 200] ?? 0) ^ 1
    damaged.replace(THIRD, bytes)
    await refuses(t, damaged, /0000000003\.log, offset \d+: checksum of frame \d+/)
    t.strictSame(damaged.bytes(THIRD), bytes, 'and the file is left as it was')
    await equalsAndGoesOn(disk, model)
  },
)

t.test(
  'C5 a flipped bit is refused wherever it lies, or cuts off the last frame alone',
  async t => {
    const random = new Prng(seedOf(t))
    const { disk, model } = await threeSegments()
    const closing = framesOf(disk.bytes(THIRD)).at(-1)?.at ?? 0
    for (let flip = 0; flip < 400; flip++) {
      const path = SEGMENTS[random.between(0, 3)] ?? FIRST
      const bytes = disk.bytes(path)
      const used = usedBytes(bytes)
      const at = random.between(0, used + 50)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.between(0, 8))
      const damaged = disk.restarted('power lost')
      damaged.replace(path, bytes)
      if (path === THIRD && at >= closing) await equalsAndGoesOn(damaged, model)
      else await refuses(t, damaged, new RegExp(`^${path}, offset \\d+: `))
    }
  },
)

t.test(
  'C5 a frame header lost in the middle is refused: a later frame is found behind it',
  async t => {
    const { disk, at } = await killed(900)
    const bytes = disk.bytes(FIRST)
    const damaged = disk.restarted('power lost')
    damaged.replace(FIRST, bytes.fill(0, 1024, 1024 + 24))
    await refuses(
      t,
      damaged,
      new RegExp(`offset 1024: no frame 1, but frame 2 follows at offset ${at}`),
    )
  },
)

t.test(
  'C5 a payload that is itself a piece of some log is no evidence of a later frame',
  async () => {
    const foreign = { ...IDENTITY, incarnation: 'another' }
    const other = new SimulatedDisk()
    const writer = storeOn(other)
    await writer.open(foreign)
    for (let index = 1; index < 5; index++)
      await writer.persist(batchOf({ entries: [entryAt(index, 1)] }))
    const disk = new SimulatedDisk()
    const store = storeOn(disk, 1e6)
    await store.open(IDENTITY)
    const payload = other.bytes(FIRST).slice(1024, usedBytes(other.bytes(FIRST)))
    await store.persist(batchOf({ entries: [{ ...entryAt(1, 1), payload }] }))
    const torn = disk.restarted('power lost')
    torn.replace(FIRST, disk.bytes(FIRST).fill(0, 1024, 1030))
    await equalsAndGoesOn(torn, EMPTY)
  },
)

t.test('C5 a segment that is missing, cut short or swapped is refused', async t => {
  const { disk } = await threeSegments()
  for (const [number, path] of SEGMENTS.entries()) {
    const damaged = disk.restarted('power lost')
    damaged.lose(path)
    await refuses(t, damaged, new RegExp(`segment ${number + 1} is missing`), 'lost')
  }
  for (const path of [FIRST, SECOND]) {
    const bytes = disk.bytes(path)
    for (const length of [0, 100, 1024, 3000, usedBytes(bytes) - 1]) {
      const damaged = disk.restarted('power lost')
      damaged.replace(path, bytes.slice(0, length))
      await refuses(t, damaged, new RegExp(`^${path}, offset \\d+: `))
    }
  }
  const swapped = disk.restarted('power lost')
  swapped.replace(SECOND, disk.bytes(THIRD))
  await refuses(t, swapped, /0000000002\.log, offset 0: is segment 3/, 'lost')
})

t.test('C5 bytes behind a seal are refused, even if the next segment is still unused', async t => {
  const { disk } = await threeSegments()
  const bytes = disk.bytes(SECOND)
  const end = usedBytes(bytes)
  disk.replace(THIRD, disk.bytes(THIRD).slice(0, HEAD_BYTES))
  const store = storeOn(disk.restarted('power lost'))
  t.ok((await store.open(IDENTITY)).last.index > 0)
  disk.replace(SECOND, bytes.fill(1, end + 5, end + 9))
  await refuses(t, disk, new RegExp(`^${SECOND}, offset ${end}: bytes after the seal`))
})

t.test(
  'C8 damage that comes after the start fails the read, and names file and offset',
  async t => {
    const { disk, at } = await killed(900)
    const store = storeOn(disk.restarted('process died'))
    await store.open(IDENTITY)
    await store.close()
    const live = disk.restarted('process died')
    const reader = storeOn(live)
    await reader.open(IDENTITY)
    const file = await live.open(FIRST, 'existing')
    await file.write(Uint8Array.of(255), at + 300)
    await t.rejects(reader.read(asLogIndex(5), asLogIndex(6), 1e9), {
      message: /read the log: .*0000000001\.log, offset \d+/,
      cause: /checksum/,
    })
    await reader.close()
  },
)

const SHARES: readonly Fault['keep'][] = [
  () => false,
  offset => offset === 0,
  (offset, length) => offset < length / 2,
  (offset, length) => offset < length - 1,
  offset => offset >= 512,
  () => true,
]

t.test(
  'C1 C4 C7 a crash at any write keeps every acknowledged batch, and the next one whole or not at all',
  async t => {
    const seed = seedOf(t)
    const { batches, models } = history(seed, 16)
    const whole = new SimulatedDisk()
    await writeAll(whole, batches)
    for (let at = 1; at <= whole.operations; at++) {
      for (const keep of SHARES) {
        const disk = new SimulatedDisk()
        disk.plan = ({ number }) => (number === at ? { code: 'CRASH', keep } : null)
        const acknowledged = await writeAll(disk, batches)
        for (const cause of ['process died', 'power lost', 'power lost, names kept'] as const) {
          await isPrefix(disk.restarted(cause), models, acknowledged)
        }
      }
    }
    t.ok(whole.operations > 20, 'segments were rolled on the way')
  },
)

t.test(
  'C6 after one failed write nothing is acknowledged again, and the disk is left alone',
  async t => {
    const { batches, models } = history(seedOf(t), 12)
    const whole = new SimulatedDisk()
    await writeAll(whole, batches)
    for (let at = 1; at <= whole.operations; at++) {
      for (const code of ['EIO', 'ENOSPC'] as const) {
        const disk = new SimulatedDisk()
        disk.plan = ({ number }) =>
          number === at ? { code, keep: (offset, length) => offset < length / 3 } : null
        const acknowledged = await writeAll(disk, batches)
        if (disk.operations !== at) throw new Error(`operation ${at} was followed by others`)
        for (const cause of ['process died', 'power lost'] as const) {
          await isPrefix(disk.restarted(cause), models, acknowledged)
        }
      }
    }
  },
)

t.test('C6 the error says what was being done, and why it failed', async t => {
  const disk = new SimulatedDisk()
  const store = storeOn(disk)
  await store.open(IDENTITY)
  disk.plan = () => ({ code: 'ENOSPC', keep: () => false })
  const failed = { message: 'append to segment 1', cause: { code: 'ENOSPC' } }
  const batch = batchOf({ entries: [entryAt(1, 1)] })
  await t.rejects(store.persist(batch), failed)
  disk.plan = () => null
  await t.rejects(store.persist(batch), failed)
  await store.close()
})

t.test(
  'what recovery found is durable: a frame left in the page cache alone survives the next power loss',
  async t => {
    const disk = new SimulatedDisk()
    const store = storeOn(disk)
    await store.open(IDENTITY)
    disk.plan = () => ({ code: 'EIO', keep: () => false })
    const batch = batchOf({ entries: [entryAt(1, 1)] })
    await t.rejects(store.persist(batch))
    const next = disk.restarted('process died')
    const reopened = storeOn(next)
    t.equal((await reopened.open(IDENTITY)).last.index, 1)
    await isPrefix(next.restarted('power lost'), [EMPTY, after(EMPTY, batch)], 1)
  },
)

/** How many batches were acknowledged. */
function writeAll(disk: SimulatedDisk, batches: readonly LogBatch[]): Promise<number> {
  return actAll(
    storeOn(disk),
    batches.map(batch => ({ kind: 'persist', batch })),
  )
}

/** The log holds the acknowledged batches, or one more. */
async function isPrefix(
  disk: SimulatedDisk,
  models: readonly Model[],
  acknowledged: number,
): Promise<void> {
  const store = storeOn(disk)
  const model = await openAcknowledged(store, models, acknowledged)
  await store.close()
  await equalsAndGoesOn(disk, model)
}

t.test('C5 a segment of another version is whole, and no damage that could be mended', async t => {
  const { disk } = await threeSegments()
  const bytes = disk.bytes(FIRST)
  bytes[0] = (bytes[0] ?? 0) ^ 1
  new DataView(bytes.buffer).setUint32(HEAD_BYTES - 4, crc32c(bytes, 0, HEAD_BYTES - 4), true)
  disk.replace(FIRST, bytes)
  await refuses(t, disk, /offset 0: not a log segment of this version/, 'identity')
})
