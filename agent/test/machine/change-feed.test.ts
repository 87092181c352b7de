import { deepEqual } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { EntryChanges } from '../../src/machine/kv/change.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import type { KvRow } from '../../src/machine/kv/row.ts'
import { entry, IDENTITY, NONE } from './entries.ts'
import { hex } from './kv-model.ts'
import { kvCommands } from './kv-subject.ts'

const EVERYTHING = { kind: 'prefix', bytes: new Uint8Array(0) } as const

t.test('who follows the feed has the machine’s rows after every entry, whole', async t => {
  const commands = fc.array(kvCommands, { maxLength: 30 })
  await fc.assert(
    fc.asyncProperty(commands, async given => {
      const machine = new KvMachine({ file: null })
      machine.open(IDENTITY)
      const followed = new Map<string, KvRow>()
      for (const [at, command] of given.entries()) {
        await machine.apply([entry(at + 1, 1, command)], NONE)
        follow(followed, machine.changes.read(at, 10) ?? [])
        const rows = machine.query({ kind: 'rows', scope: EVERYTHING }).rows ?? []
        deepEqual(comparable(followed), comparable(rows.map(row => [hex(row.key), row])))
      }
      await machine.close()
    }),
  )
  t.pass('for all of them')
})

function follow(followed: Map<string, KvRow>, entries: readonly EntryChanges[]): void {
  for (const { key, value, flags, row } of entries.flatMap(({ changes }) => changes)) {
    deepEqual(row?.value ?? null, value)
    deepEqual(row?.flags ?? 0n, flags)
    if (row === null) followed.delete(hex(key))
    else followed.set(hex(key), row)
  }
}

function comparable(rows: Iterable<readonly [string, KvRow]>): string[] {
  const texts = [...rows].map(([key, row]) => {
    const { value, createIndex, modifyIndex, lockIndex, flags, session, contentType } = row
    const indexes = [createIndex, modifyIndex, lockIndex]
    return JSON.stringify([key, hex(value), ...indexes, String(flags), session, contentType])
  })
  return texts.sort()
}
