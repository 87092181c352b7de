/** What was changed is known across restarts, snapshots and backups. */

import { deepEqual } from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { EntryChanges } from '../../src/machine/kv/change.ts'
import { CHANGES_TABLE } from '../../src/machine/kv/change-history.ts'
import { encodeCommand } from '../../src/machine/kv/command.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { asLogIndex, asNodeId, asTerm } from '../../src/raft/types.ts'
import { entry, IDENTITY, NONE } from './entries.ts'
import { fillingEntries } from './filled-machine.ts'
import { hex } from './kv-model.ts'
import { kvCommands, setText, text } from './kv-subject.ts'
import { tamper, tamperSealed } from './tamper.ts'

t.setTimeout(120_000)

const ALL = Number.MAX_SAFE_INTEGER

async function opened(file: string | null): Promise<KvMachine> {
  const machine = new KvMachine({ file })
  await machine.open(IDENTITY)
  return machine
}

const write = (machine: KvMachine, index: number, key = `k${index}`, value = `v${index}`) =>
  machine.apply([entry(index, 1, setText(key, value))], NONE)

async function copyOf(machine: KvMachine, file: string): Promise<string> {
  const view = await machine.snapshot()
  await view.writeTo(file)
  view.release()
  return file
}

/** Comparable: bytes may be Buffers on one side, and a row of the table may be more than what is told of it. */
function plain(entries: readonly EntryChanges[] | null): unknown {
  return entries?.map(({ changes, lifetimes, ...entry }) => ({
    ...entry,
    lifetimes: lifetimes.map(lifetime => ({ ...lifetime, id: hex(lifetime.id) })),
    changes: changes.map(({ key, value, flags, row }) => {
      if (row === null) return [hex(key), value, flags]
      const { createIndex, modifyIndex, lockIndex, session, contentType } = row
      const rest = [createIndex, modifyIndex, lockIndex, session, contentType]
      return [hex(key), hex(value ?? text('')), flags, hex(row.value), row.flags, ...rest]
    }),
  }))
}

const indexesOf = (machine: KvMachine, after = 0) =>
  machine.changes.read(after, ALL)?.map(({ index }) => index) ?? null

t.test(
  'whenever it is closed, copied or restored: the feed is that of one that never was',
  async t => {
    const root = t.testdir()
    const steps = fc.array(
      fc.oneof(
        { weight: 8, arbitrary: kvCommands.map(command => ({ kind: 'apply' as const, command })) },
        { weight: 1, arbitrary: fc.constant({ kind: 'nothing' as const }) },
        { weight: 2, arbitrary: fc.constant({ kind: 'reopen' as const }) },
        { weight: 1, arbitrary: fc.constant({ kind: 'restore' as const }) },
      ),
      { minLength: 10, maxLength: 40 },
    )
    await fc.assert(
      fc.asyncProperty(steps, async given => {
        const directory = mkdtempSync(join(root, 'run-'))
        const steady = await opened(null)
        const file = join(directory, 'kv.db')
        let machine = await opened(file)
        let index = 0
        for (const step of given) {
          if (step.kind === 'reopen') {
            await machine.close()
            machine = await opened(file)
          } else if (step.kind === 'restore') {
            const copy = await copyOf(machine, join(directory, 'copy'))
            await machine.inspect(copy)
            await machine.restore(copy)
          } else {
            index++
            const command = step.kind === 'apply' ? step.command : null
            await steady.apply([entry(index, 1, command)], NONE)
            await machine.apply([entry(index, 1, command)], NONE)
          }
          deepEqual(plain(machine.changes.read(0, ALL)), plain(steady.changes.read(0, ALL)))
        }
        await Promise.all([machine.close(), steady.close()])
      }),
      { numRuns: 15 },
    )
    t.pass('for all of them')
  },
)

t.test('sessions, locks, lifetimes and deletions come back as they were', async t => {
  const file = join(t.testdir(), 'kv.db')
  const machine = await opened(file)
  await machine.apply(fillingEntries(300, 7), NONE)
  const before = plain(machine.changes.read(0, ALL))
  await machine.close()
  const again = await opened(file)
  t.strictSame(plain(again.changes.read(0, ALL)), before)
  t.equal(again.changes.since, 0)
  await again.close()
})

t.test('a copy has what led to it, for a node in memory too', async t => {
  const directory = t.testdir()
  const from = await opened(join(directory, 'kv.db'))
  for (let index = 1; index <= 5; index++) await write(from, index)
  for (const place of [null, join(directory, 'other.db')]) {
    const copy = await copyOf(from, join(directory, 'copy'))
    const to = await opened(place)
    await write(to, 1)
    let told = 0
    to.changes.listen({ kind: 'prefix', bytes: text('') }, () => told++)
    await to.inspect(copy)
    await to.restore(copy)
    t.equal(told, 1)
    t.strictSame(indexesOf(to, 1), [2, 3, 4, 5], 'on with it behind what was known')
    await to.close()
  }
  await from.close()
})

t.test('only what is beyond the bound is gone, from the file too', async t => {
  const file = join(t.testdir(), 'kv.db')
  let machine = await opened(file)
  const value = 'x'.repeat(256 * 1024)
  for (let index = 1; index <= 200; index++) {
    await write(machine, index, 'one', value)
    if (index % 8 === 0) await copyOf(machine, join(t.testdirName, 'copy'))
  }
  const { since } = machine.changes
  t.ok(since > 100 && since < 190, `${since}`)
  const kept = indexesOf(machine, since)
  await machine.close()
  const db = new Database(file, { readonly: true })
  const bytes = Number(db.prepare('SELECT sum(length(body)) FROM kv_changes').pluck().get())
  db.close()
  t.ok(bytes < 24 * 1024 * 1024, `${bytes} bytes`)
  machine = await opened(file)
  t.equal(machine.changes.since, since)
  t.strictSame(indexesOf(machine, since), kept)
  t.equal(machine.changes.read(since - 1, 1), null)
  await machine.close()
})

t.test(
  'of a commit that is larger than one may be its end is kept, and no more is claimed',
  async t => {
    const file = join(t.testdir(), 'kv.db')
    const machine = await opened(file)
    await write(machine, 1)
    await copyOf(machine, join(t.testdirName, 'copy'))
    const value = text('x'.repeat(512 * 1024))
    const command = encodeCommand({ kind: 'set', pairs: [{ key: text('k'), value }] })
    const many = Array.from({ length: 20 }, (_, at) => entry(at + 2, 1, command))
    await machine.apply(many, NONE)
    await machine.close()
    let again = await opened(file)
    const { since } = again.changes
    t.equal(since, 6, 'fifteen of half a MiB and a little')
    const kept = Array.from({ length: 15 }, (_, at) => 7 + at)
    t.strictSame(indexesOf(again, since), kept)
    await write(again, 22)
    await again.close()
    again = await opened(file)
    t.equal(again.changes.since, since)
    t.strictSame(indexesOf(again, 20), [21, 22])
    await again.close()
  },
)

t.test('nothing that changes nothing makes the file grow', async t => {
  const file = join(t.testdir(), 'kv.db')
  const machine = await opened(file)
  await write(machine, 1)
  for (let index = 2; index <= 60; index++) {
    await machine.apply([entry(index, 1, null)], NONE)
    if (index % 20 === 0) await copyOf(machine, join(t.testdirName, 'copy'))
  }
  await machine.close()
  const db = new Database(file, { readonly: true })
  t.equal(db.prepare('SELECT count(*) FROM kv_changes').pluck().get(), 2)
  db.close()
  const again = await opened(file)
  t.equal(again.changes.last, 60)
  t.strictSame(indexesOf(again), [1])
  await again.close()
})

/** A file whose changes are not those that led to it. */
async function strange(t: Test, sql: string): Promise<KvMachine> {
  const file = join(t.testdir(), 'kv.db')
  const machine = await opened(file)
  for (let index = 1; index <= 3; index++) await write(machine, index)
  await machine.close()
  tamper(file, `UPDATE _raft SET schema_version = 3; ${sql}`)
  return opened(file)
}

for (const [what, sql] of [
  ['of a version that kept none', 'DROP TABLE kv_changes'],
  ['without its extent', 'DELETE FROM kv_changes WHERE upto = 0'],
  ['of another position', 'UPDATE _raft SET applied_index = 7'],
  ['cut short', 'UPDATE kv_changes SET body = substr(body, 1, length(body) - 1) WHERE upto > 0'],
  ['of no entry', "UPDATE kv_changes SET body = x'ffffffffffffffff' WHERE upto > 0"],
  ['beyond the position', 'INSERT INTO kv_changes SELECT 99, body FROM kv_changes WHERE upto = 3'],
] as const) {
  t.test(`a file ${what}: nothing is claimed, and what follows is kept`, async t => {
    const machine = await strange(t, sql)
    const { index } = machine.applied()
    t.equal(machine.changes.since, index)
    t.equal(machine.changes.read(index - 1, 1), null)
    await write(machine, index + 1)
    await machine.close()
    const again = await opened(join(t.testdirName, 'kv.db'))
    t.equal(again.changes.since, index)
    t.strictSame(indexesOf(again, index), [index + 1])
    await again.close()
  })
}

t.test(
  'a copy of a version that kept none is taken; one with another table of that name is not',
  async t => {
    const directory = t.testdir()
    const machine = await opened(join(directory, 'kv.db'))
    await write(machine, 1)
    const copy = await copyOf(machine, join(directory, 'copy'))
    const other = await opened(null)
    await tamperSealed(copy, `DROP TABLE kv_changes; CREATE TABLE kv_changes(upto, body)`)
    await t.rejects(other.inspect(copy), /its tables are not those of this program/)
    await tamperSealed(copy, 'DROP TABLE kv_changes')
    await other.inspect(copy)
    await other.restore(copy)
    t.equal(other.changes.since, 1)
    await write(other, 2)
    t.strictSame(indexesOf(other, 1), [2])
    await Promise.all([machine.close(), other.close()])
  },
)

t.test(
  'who begins anew with a backup knows nothing of what the former cluster changed',
  async t => {
    const directory = t.testdir()
    const machine = await opened(join(directory, 'kv.db'))
    for (let index = 1; index <= 3; index++) await write(machine, index)
    const copy = await copyOf(machine, join(directory, 'copy'))
    const heir = new KvMachine({ file: null })
    await heir.open({ clusterId: 'heir', nodeId: asNodeId('n'), incarnation: 'i' })
    const position = { index: asLogIndex(9), term: asTerm(9) }
    await heir.adopt(copy, () => ({ position, configuration: NONE }))
    await heir.restore(copy)
    t.equal(heir.changes.since, 9, 'entries 4 to 8 of the former cluster are not here')
    await Promise.all([machine.close(), heir.close()])
  },
)

t.test('the table is compared by its text', async t => {
  const file = join(t.testdir(), 'kv.db')
  await (await opened(file)).close()
  const db = new Database(file, { readonly: true })
  const sql = db.prepare("SELECT sql FROM sqlite_schema WHERE name = 'kv_changes'").pluck().get()
  t.equal(sql, CHANGES_TABLE)
  db.close()
})
