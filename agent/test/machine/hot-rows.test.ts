/** Plain values wait in memory before they reach the table: nobody can tell. */

import { deepEqual, equal } from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import t from 'tap'
import { Prng } from '../../src/lib/prng.ts'
import { encodeCommand } from '../../src/machine/kv/command.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { operation } from '../../src/machine/kv/operation.ts'
import type { KvRow } from '../../src/machine/kv/row.ts'
import type { CommittedEntry } from '../../src/machine/state-machine.ts'
import { drawSeed, entry, IDENTITY, NONE } from './entries.ts'
import { hex, KvModel } from './kv-model.ts'
import { bytes, kvCommands, kvSubject, set, setText, text } from './kv-subject.ts'

t.setTimeout(120_000)

const EVERYTHING = { kind: 'prefix', bytes: new Uint8Array(0) } as const
const { dump } = kvSubject('file')

async function opened(file: string | null): Promise<KvMachine> {
  const machine = new KvMachine({ file })
  await machine.open(IDENTITY)
  return machine
}

const key = fc.constantFrom('6b', '6b01', '6b6579', 'ff', '01').map(bytes)
const plain = fc.record({ key, value: fc.uint8Array({ maxLength: 20 }) }).map(pair => set([pair]))
/** Mostly batches of plain sets, now and then with something else among them. */
const batch = fc.oneof(
  { weight: 5, arbitrary: fc.array(fc.option(plain, { freq: 8 }), { maxLength: 8 }) },
  { weight: 2, arbitrary: fc.array(fc.oneof(plain, kvCommands), { maxLength: 6 }) },
)
const step = fc.oneof(
  { weight: 8, arbitrary: batch.map(commands => ({ kind: 'apply' as const, commands })) },
  { weight: 2, arbitrary: key.map(key => ({ kind: 'get' as const, key })) },
  { weight: 1, arbitrary: fc.constant({ kind: 'dump' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'checkpoint' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'snapshot' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'kill' as const }) },
)

type Step = typeof step extends fc.Arbitrary<infer One> ? One : never

/** A machine that is killed and goes on; its model; one in memory that is asked for everything after each entry. */
class Run {
  readonly #root: string
  readonly #model = new KvModel()
  readonly #log: CommittedEntry[] = []
  readonly #direct = new KvMachine({ file: null })
  #directory: string
  #machine: KvMachine

  constructor(root: string) {
    this.#root = root
    this.#directory = mkdtempSync(join(root, 'begun-'))
    this.#machine = this.#create()
  }

  async run(steps: readonly Step[]): Promise<void> {
    await this.#direct.open(IDENTITY)
    await this.#machine.open(IDENTITY)
    for (const one of steps) await this.#do(one)
    await this.#compare()
    await Promise.all([this.#machine.close(), this.#direct.close()])
  }

  #create(): KvMachine {
    return new KvMachine({ file: join(this.#directory, 'kv.db') })
  }

  async #do(one: Step): Promise<void> {
    if (one.kind === 'apply') await this.#apply(one.commands)
    else if (one.kind === 'kill') await this.#kill()
    else if (one.kind === 'checkpoint') await this.#machine.checkpoint()
    else if (one.kind === 'snapshot') (await this.#machine.snapshot()).release()
    else if (one.kind === 'dump') await this.#compare()
    else {
      const query = { kind: 'get', key: one.key } as const
      deepEqual(shown(this.#machine.query(query).row), shown(this.#direct.query(query).row))
    }
  }

  async #apply(commands: readonly (Uint8Array | null)[]): Promise<void> {
    const entries = commands.map((command, at) => entry(this.#log.length + at + 1, 1, command))
    this.#log.push(...entries)
    const expected = entries.map(one => this.#model.apply(one))
    deepEqual(await this.#machine.apply(entries, NONE), expected)
    for (const [at, one] of entries.entries()) {
      deepEqual(await this.#direct.apply([one], NONE), [expected[at]])
      this.#direct.query({ kind: 'rows', scope: EVERYTHING })
    }
  }

  /** Goes on from what is in the files, as the log would have it. */
  async #kill(): Promise<void> {
    const copy = mkdtempSync(join(this.#root, 'killed-'))
    // Not by this process: closing the files would drop SQLite's locks of them.
    execFileSync('cp', ['-a', `${this.#directory}/.`, copy])
    await this.#machine.close()
    this.#directory = copy
    this.#machine = this.#create()
    const { index } = (await this.#machine.open(IDENTITY)) as { index: number }
    await this.#machine.apply(this.#log.slice(index), NONE)
    equal(this.#machine.applied().index, this.#log.length)
  }

  async #compare(): Promise<void> {
    deepEqual(await dump(this.#machine), this.#model.dump())
    deepEqual(this.#machine.applied().chainHash, this.#direct.applied().chainHash)
    deepEqual(changesOf(this.#machine), changesOf(this.#direct))
  }
}

t.test('answers, rows, hash and changes are those of a machine that never waits', async t => {
  const root = t.testdir()
  const property = fc.asyncProperty(fc.array(step, { maxLength: 30 }), steps =>
    new Run(root).run(steps),
  )
  await fc.assert(property, { numRuns: 60, seed: drawSeed(t) })
})

const inFile = (file: string, sql: string): unknown => {
  const db = new Database(file, { readonly: true })
  const found = db.prepare(sql).pluck().all()
  db.close()
  return found
}

t.test('what waits is in the file with the commit, and only the last value of a key', async t => {
  const file = join(t.testdir(), 'kv.db')
  const machine = await opened(file)
  const batch = Array.from({ length: 100 }, (_, at) => entry(at + 1, 1, setText('k', `${at}`)))
  await machine.apply(batch, NONE)
  t.strictSame(inFile(file, 'SELECT CAST(value AS TEXT) FROM kv'), [])
  t.equal(
    Buffer.from(machine.query({ kind: 'get', key: text('k') }).row?.value ?? []).toString(),
    '99',
  )
  ;(await machine.snapshot()).release()
  t.strictSame(inFile(file, 'SELECT CAST(value AS TEXT) FROM kv'), ['99'])
  t.strictSame(inFile(file, 'SELECT create_index FROM kv'), [1])
  await machine.close()
})

t.test('a plain set leaves the lock on its key, and takes flags and lifetime', async t => {
  const machine = await opened(null)
  const id = '0b3c1f6e-0000-4000-8000-000000000000'
  const session = {
    id,
    name: '',
    node: 'n',
    behavior: 'release',
    ttlMs: 0,
    lockDelayMs: 0,
  } as const
  const lock = operation('lock', text('k'), { value: text('a'), session: id, flags: 7n, ttlMs: 5 })
  const commands = [
    encodeCommand({ kind: 'create-session', session }),
    encodeCommand({ kind: 'transaction', operations: [lock] }),
  ]
  for (const [at, command] of commands.entries())
    await machine.apply([entry(at + 1, 1, command)], NONE)
  await machine.apply([entry(3, 1, setText('k', 'b'))], NONE)
  const expected = { createIndex: 2, modifyIndex: 3, lockIndex: 1, session: id, flags: 0n }
  const row = () => machine.query({ kind: 'get', key: text('k') }).row
  t.match(row(), expected, 'while it waits')
  t.match(machine.changes.read(2, 1)?.[0]?.changes[0]?.row, expected, 'as who follows is told')
  t.strictSame(machine.query({ kind: 'lifetimes' }).lifetimes, [])
  t.match(row(), expected, 'from the table')
  await machine.close()
})

t.test('a key that was deleted, by itself or with a tree, is made anew', async t => {
  const machine = await opened(null)
  const tree = { kind: 'transaction', operations: [operation('delete-tree', text('k'))] } as const
  const commands = [
    setText('k', 'a'),
    encodeCommand({ kind: 'delete', key: text('k') }),
    setText('k', 'b'),
    encodeCommand(tree),
    setText('k', 'c'),
  ]
  const made = []
  for (const [at, command] of commands.entries()) {
    await machine.apply([entry(at + 1, 1, command)], NONE)
    made.push(machine.query({ kind: 'get', key: text('k') }).row?.createIndex ?? null)
  }
  t.strictSame(made, [1, null, 3, null, 5])
  await machine.close()
})

t.test(
  'what is written a slice at a time is answered as it was put, and is all in the file',
  async t => {
    const prng = new Prng(drawSeed(t))
    const file = join(t.testdir(), 'kv.db')
    const machine = await opened(file)
    const expected = new Map<string, string>()
    let index = 0
    for (let round = 0; round < 200; round++) {
      const batch = Array.from({ length: prng.between(1, 120) }, () => {
        const [name, value] = [`k${prng.between(0, 2_000)}`, `${prng.between(0, 1e6)}`]
        expected.set(name, value)
        return entry(++index, 1, setText(name, value))
      })
      await machine.apply(batch, NONE)
      for (let count = 0; count < 20; count++) {
        const name = `k${prng.between(0, 2_000)}`
        const { row } = machine.query({ kind: 'get', key: text(name) })
        const found = row === null ? undefined : Buffer.from(row.value).toString()
        if (found !== expected.get(name)) t.fail(`${name}: ${found}, not ${expected.get(name)}`)
      }
      if (prng.between(0, 20) === 0) await machine.checkpoint()
    }
    await machine.close()
    const sql = "SELECT CAST(key AS TEXT) || ' ' || CAST(value AS TEXT) FROM kv ORDER BY key"
    const all = [...expected].map(([name, value]) => `${name} ${value}`)
    t.strictSame((inFile(file, sql) as string[]).sort(), all.sort())
  },
)

/** Plain sets of many keys, and now and then what needs the table while others wait; answers as `asked` gives them. */
function commandsOf(prng: Prng, index: number, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, at) => {
    const name = `k${prng.between(0, 4_000)}`
    const kind = prng.between(0, 400)
    if (kind === 0) return encodeCommand({ kind: 'delete', key: text(name) })
    if (kind === 1) {
      const operations = [operation('delete-tree', text(name.slice(0, 4)))]
      return encodeCommand({ kind: 'transaction', operations })
    }
    if (kind === 2) {
      // What precedes the step that fails is taken back, and what waited before is not.
      const operations = [
        operation('set', text(name), { value: text('taken back') }),
        operation('check-not-exists', text(name)),
      ]
      return encodeCommand({ kind: 'transaction', operations })
    }
    return setText(name, `${index + at}`)
  })
}

t.test(
  'killed while a commit is prepared, it comes back as it was, with entries by the thousand',
  async t => {
    const prng = new Prng(drawSeed(t))
    const root = t.testdir()
    const [machine, direct] = [await opened(join(root, 'kv.db')), await opened(null)]
    const log: CommittedEntry[] = []
    const rowsOf = (one: KvMachine) =>
      one.query({ kind: 'page', after: null, bytesMax: Number.MAX_SAFE_INTEGER }).rows.map(shown)
    const found = new Set<number>()
    let checkpoint: Promise<unknown> = Promise.resolve()
    for (let round = 0; round < 600; round++) {
      const from = log.length
      const batch = commandsOf(prng, from, prng.between(1, 200)).map((command, at) =>
        entry(from + at + 1, 1, command),
      )
      log.push(...batch)
      deepEqual(await machine.apply(batch, NONE), await direct.apply(batch, NONE))
      if (prng.between(0, 100) === 0) checkpoint = machine.checkpoint()
      if (prng.between(0, 60) !== 0) continue
      // Its thread would write while the files are copied.
      await checkpoint
      const copy = mkdtempSync(join(root, 'killed-'))
      execFileSync('cp', [
        '-a',
        ...['kv.db', 'kv.db-wal', 'kv.db.sums'].map(name => join(root, name)),
        copy,
      ])
      const again = await opened(join(copy, 'kv.db'))
      const { index } = again.applied()
      found.add(index)
      t.ok(log.length - index <= 25_000, `${log.length - index} entries to replay`)
      for (let at = Number(index); at < log.length; at += 1_000)
        await again.apply(log.slice(at, at + 1_000), NONE)
      deepEqual(rowsOf(again), rowsOf(direct))
      deepEqual(again.applied().chainHash, direct.applied().chainHash)
      await again.close()
    }
    t.ok(found.size > 1, `commits at ${[...found].join(', ')}`)
    deepEqual(rowsOf(machine), rowsOf(direct))
    await Promise.all([machine.close(), direct.close()])
  },
)

t.test('a long WAL makes a checkpoint due, and is short after it', async t => {
  const machine = await opened(join(t.testdir(), 'kv.db'))
  const value = new Uint8Array(512 * 1024)
  let index = 0
  while (!machine.checkpointDue()) {
    const command = set([{ key: text(`k${index % 40}`), value }])
    await machine.apply([entry(++index, 1, command)], NONE)
    if (index > 1_000) throw new Error('half a GiB, and none is due')
  }
  await machine.checkpoint()
  // A commit tells how long the WAL is.
  await machine.apply([entry(++index, 1, setText('k', 'v'))], NONE)
  ;(await machine.snapshot()).release()
  t.equal(machine.checkpointDue(), false)
  await machine.close()
})

t.test('what a view keeps in a long WAL makes no checkpoint due after each batch', async t => {
  const machine = await opened(join(t.testdir(), 'kv.db'))
  let index = 0
  const one = () => machine.apply([entry(++index, 1, setText('k', `${index}`))], NONE)
  await one()
  const view = await machine.snapshot()
  const value = new Uint8Array(512 * 1024)
  while (!machine.checkpointDue()) {
    const command = set([{ key: text(`k${index % 40}`), value }])
    await machine.apply([entry(++index, 1, command)], NONE)
    if (index > 1_000) throw new Error('half a GiB, and none is due')
  }
  await machine.checkpoint()
  t.equal(machine.checkpointDue(), false, 'before the next commit')
  await one()
  ;(await machine.snapshot()).release()
  t.equal(machine.checkpointDue(), false, 'after it: the WAL is as long as it was')
  view.release()
  await machine.close()
})

t.test('keys that are deleted with their tree begin anew, written or waiting', async t => {
  const machine = await opened(join(t.testdir(), 'kv.db'))
  const put = (index: number) => entry(index, 1, setText('tree/k', `${index}`))
  const deleteTree = encodeCommand({
    kind: 'transaction',
    operations: [operation('delete-tree', text('tree/'))],
  })
  await machine.apply([put(1)], NONE)
  ;(await machine.snapshot()).release()
  await machine.apply([entry(2, 1, deleteTree), put(3), entry(4, 1, deleteTree), put(5)], NONE)
  const { row } = machine.query({ kind: 'get', key: text('tree/k') })
  t.equal(row?.createIndex, 5)
  t.equal(row?.modifyIndex, 5)
  await machine.close()
})

t.test('more keys than are remembered', async t => {
  const file = join(t.testdir(), 'kv.db')
  const machine = await opened(file)
  const keys = 40_000
  let index = 0
  for (let round = 1; round <= 2; round++) {
    for (let from = 0; from < keys; from += 1_000) {
      const batch = Array.from({ length: 1_000 }, (_, at) =>
        entry(++index, 1, setText(`k${from + at}`, `${round}`)),
      )
      await machine.apply(batch, NONE)
    }
  }
  await machine.close()
  const wrong = `SELECT key FROM kv WHERE value <> x'32' OR modify_index <> create_index + ${keys}`
  t.strictSame(inFile(file, wrong), [])
  t.strictSame(inFile(file, 'SELECT count(*) FROM kv'), [keys])
})

function shown(row: KvRow | null): unknown {
  return row && { ...row, key: null, value: hex(row.value) }
}

function changesOf(machine: KvMachine): unknown {
  return machine.changes.read(0, Number.MAX_SAFE_INTEGER)?.map(({ index, changes, sessions }) => [
    index,
    sessions,
    changes.map(({ key, row }) => {
      if (row === null) return [hex(key)]
      const { createIndex, modifyIndex, lockIndex, session, contentType, flags } = row
      return [
        hex(key),
        hex(row.value),
        createIndex,
        modifyIndex,
        lockIndex,
        session,
        contentType,
        flags,
      ]
    }),
  ])
}
