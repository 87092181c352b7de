import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Prng } from '../../src/lib/prng.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { MachineDamaged } from '../../src/machine/state-machine.ts'
import { drawSeed, IDENTITY, NONE } from './entries.ts'
import { everythingOf, fillingEntries } from './filled-machine.ts'
import { tamper } from './tamper.ts'

t.setTimeout(180_000)

const KEYS = 2_000
const FEW_KEYS = 500
const RANDOM_FLIPS = 300
const PAGE_BYTES = 2048

interface Flips {
  readonly name: string
  readonly at: Iterable<number>
  /** what may be answered */
  readonly legal: ReadonlySet<string>
  readonly keys?: number
}

interface Outcome {
  refused: number
  right: number
}

/** Opens what is in the directory: damage that names a file of it, or an answer to everything. */
async function opens(directory: string, keys = KEYS): Promise<MachineDamaged | string> {
  const file = join(directory, 'kv.sqlite')
  const machine = new KvMachine({ file })
  try {
    await machine.open(IDENTITY)
    const everything = everythingOf(machine, keys)
    return everything
  } catch (error) {
    if (error instanceof MachineDamaged) return error
    throw error
  } finally {
    await machine.close()
  }
}

/** Flips one bit of `name` at each place, in a fresh copy of the directory each time. */
async function flips(
  t: Test,
  place: string,
  { name, at, legal, keys = KEYS }: Flips,
): Promise<Outcome> {
  const outcome = { refused: 0, right: 0 }
  const directory = join(t.testdirName, 'flipped')
  for (const offset of at) {
    rmSync(directory, { recursive: true, force: true })
    cpSync(place, directory, { recursive: true })
    const bytes = readFileSync(join(directory, name))
    bytes[offset] = (bytes[offset] ?? 0) ^ (1 << (offset % 8))
    writeFileSync(join(directory, name), bytes)
    const found = await opens(directory, keys)
    if (typeof found === 'string') {
      outcome.right += 1
      if (!legal.has(found)) t.fail(`${name}, byte ${offset}: a wrong answer`)
    } else {
      outcome.refused += 1
      if (!found.file.startsWith(join(directory, 'kv.sqlite'))) t.fail(found.message)
    }
  }
  t.comment(`${name}: ${JSON.stringify(outcome)}`)
  return outcome
}

/** Random places, and of each page: its header, its first cell pointers, and the cells at its end. */
function placesIn(bytes: Buffer, prng: Prng): Set<number> {
  const places = new Set<number>()
  for (let count = 0; count < RANDOM_FLIPS; count++) places.add(prng.between(0, bytes.length - 1))
  for (let page = 0; page < bytes.length; page += PAGE_BYTES) {
    const head = page === 0 ? 100 : page
    places.add(head + prng.between(0, 7))
    places.add(head + prng.between(8, 15))
    places.add(page + PAGE_BYTES - 1 - prng.between(0, 40))
  }
  for (let at = 0; at < 100; at++) places.add(at)
  return places
}

/** A closed machine's files. */
async function filled(directory: string): Promise<string> {
  mkdirSync(directory, { recursive: true })
  const machine = new KvMachine({ file: join(directory, 'kv.sqlite') })
  await machine.open(IDENTITY)
  const entries = fillingEntries(KEYS, 1)
  for (let from = 0; from < entries.length; from += 500) {
    await machine.apply(entries.slice(from, from + 500), NONE)
    if (from % 1500 === 0) await machine.checkpoint()
  }
  const everything = everythingOf(machine, KEYS)
  await machine.close()
  return everything
}

t.test(
  'a flipped bit anywhere in a closed database is found before anything is served',
  async t => {
    const prng = new Prng(drawSeed(t))
    const place = join(t.testdir(), 'closed')
    const legal = new Set([await filled(place)])
    t.notOk(existsSync(join(place, 'kv.sqlite-wal')), 'closed')
    cpSync(place, join(t.testdirName, 'whole'), { recursive: true })
    t.ok(legal.has(String(await opens(join(t.testdirName, 'whole')))), 'whole, it opens')
    const bytes = readFileSync(join(place, 'kv.sqlite'))
    const at = placesIn(bytes, prng)
    const { refused, right } = await flips(t, place, { name: 'kv.sqlite', at, legal })
    t.equal(right, 0, 'no byte of it is without a checksum')
    t.equal(refused, at.size)
  },
)

t.test('a flipped bit of the checksums is found, or harmless', async t => {
  const prng = new Prng(drawSeed(t))
  const place = join(t.testdir(), 'closed')
  const legal = new Set([await filled(place)])
  const { length } = readFileSync(join(place, 'kv.sqlite.sums'))
  const at = Array.from({ length: 100 }, () => prng.between(0, length - 1))
  await flips(t, place, {
    name: 'kv.sqlite.sums',
    at: [...at, 0, 8, 12, 16, 20, length - 1],
    legal,
  })
})

type Checkpoint = 'none' | 'whole' | 'cut short by a reader'

/** Files of a machine that was killed, and all that they may hold: every state that was ever committed. */
async function killed(directory: string, checkpoint: Checkpoint): Promise<Set<string>> {
  const live = join(directory, 'live')
  mkdirSync(live, { recursive: true })
  const machine = new KvMachine({ file: join(live, 'kv.sqlite') })
  await machine.open(IDENTITY)
  const legal = new Set([everythingOf(machine, FEW_KEYS)])
  const entries = fillingEntries(FEW_KEYS, 2)
  for (let from = 0; from < entries.length; from += 100) {
    const before = await machine.snapshot() // commits
    if (checkpoint !== 'cut short by a reader') before.release()
    await machine.apply(entries.slice(from, from + 100), NONE)
    legal.add(everythingOf(machine, FEW_KEYS))
    if (from % 200 === 0 && checkpoint !== 'none') await machine.checkpoint()
    before.release()
  }
  const last = await machine.snapshot()
  last.release()
  mkdirSync(join(directory, 'killed'))
  for (const name of ['kv.sqlite', 'kv.sqlite-wal', 'kv.sqlite.sums']) {
    cpSync(join(live, name), join(directory, 'killed', name))
  }
  await machine.close()
  return legal
}

for (const checkpoint of ['none', 'whole', 'cut short by a reader'] as const) {
  t.test(`a flipped bit after a kill, checkpoints ${checkpoint}: a prefix, or damage`, async t => {
    const prng = new Prng(drawSeed(t))
    const legal = await killed(t.testdir(), checkpoint)
    const place = join(t.testdirName, 'killed')
    cpSync(place, join(t.testdirName, 'whole'), { recursive: true })
    t.ok(legal.has(String(await opens(join(t.testdirName, 'whole'), FEW_KEYS))), 'whole, it opens')
    let refused = 0
    for (const name of ['kv.sqlite-wal', 'kv.sqlite']) {
      const { length } = readFileSync(join(place, name))
      const at = Array.from({ length: 40 }, () => prng.between(0, length - 1))
      const keys = FEW_KEYS
      const outcome = await flips(t, place, { name, at: [...at, 0, 9, 17, 25, 31], legal, keys })
      if (name === 'kv.sqlite-wal') refused += outcome.refused
    }
    if (checkpoint === 'cut short by a reader') {
      t.ok(refused > 0, 'what was moved out of a damaged WAL is no prefix')
    } else
      t.equal(refused, 0, 'a WAL that nothing was moved out of loses its end, and the log has it')
  })
}

t.test('a page that rots while the machine runs is not copied to others', async t => {
  const directory = t.testdir()
  const everything = await filled(directory)
  const file = join(directory, 'kv.sqlite')
  const machine = new KvMachine({ file })
  t.teardown(() => machine.close())
  await machine.open(IDENTITY)
  t.equal(everythingOf(machine, KEYS), everything)
  const bytes = readFileSync(file)
  const at = bytes.indexOf('service/6/key-1000')
  t.ok(at > 0)
  bytes[at] = (bytes[at] ?? 0) ^ 4
  writeFileSync(file, bytes)
  const view = await machine.snapshot()
  await t.rejects(view.writeTo(join(directory, 'copy')), { name: 'MachineDamaged', file })
  view.release()
})

t.test('a flipped bit anywhere in a snapshot is found before it is taken for one', async t => {
  const prng = new Prng(drawSeed(t))
  const directory = t.testdir()
  await filled(directory)
  const machine = new KvMachine({ file: join(directory, 'kv.sqlite') })
  t.teardown(() => machine.close())
  await machine.open(IDENTITY)
  const view = await machine.snapshot()
  const file = join(directory, 'snapshot')
  await view.writeTo(file)
  view.release()
  const bytes = readFileSync(file)
  const spoilt = join(directory, 'spoilt')
  const places = Array.from({ length: 200 }, () => prng.between(0, bytes.length - 1))
  for (const at of [...places, 0, 18, 27, 100, bytes.length - 1, bytes.length - 20]) {
    const flipped = Buffer.from(bytes)
    flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8))
    writeFileSync(spoilt, flipped)
    const found = await machine.inspect(spoilt).catch(error => error)
    const refused = found instanceof MachineDamaged && found.file === spoilt
    if (!refused) t.fail(`byte ${at}: ${String(found)}`)
  }
  t.match(await machine.inspect(file), machine.applied())
})

t.test('files of a version without checksums are looked at whole, and get them', async t => {
  const directory = t.testdir()
  const everything = await filled(directory)
  const file = join(directory, 'kv.sqlite')
  tamper(file, 'UPDATE _raft SET schema_version = 3')
  const machine = new KvMachine({ file })
  await machine.open(IDENTITY)
  t.equal(everythingOf(machine, KEYS), everything)
  await machine.close()
  t.ok(existsSync(`${file}.sums`))
  tamper(
    file,
    `UPDATE _raft SET schema_version = 3; UPDATE kv SET value = zeroblob(3) WHERE key = (SELECT min(key) FROM kv)`,
  )
  await t.rejects(async () => new KvMachine({ file }).open(IDENTITY), {
    name: 'MachineDamaged',
    file,
  })
})
