/** Rows that were looked at are remembered: nobody can tell, but by what it costs. */

import t from 'tap'
import { encodeCommand } from '../../src/machine/kv/command.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { operation } from '../../src/machine/kv/operation.ts'
import type { KeptRow } from '../../src/machine/kv/row.ts'
import { SeenRows } from '../../src/machine/kv/seen-rows.ts'
import { entry, IDENTITY, NONE } from './entries.ts'
import { setText, text } from './kv-subject.ts'

const transaction = (...operations: ReturnType<typeof operation>[]): Uint8Array =>
  encodeCommand({ kind: 'transaction', operations })

/** What changes `k`, each by another way to the table; the value that is read afterwards, null: none. */
const CHANGES: readonly (readonly [name: string, command: Uint8Array, value: string | null])[] = [
  ['a plain set', setText('k', 'b'), 'b'],
  ['a transaction', transaction(operation('set', text('k'), { value: text('c') })), 'c'],
  ['a deletion', encodeCommand({ kind: 'delete', key: text('k') }), null],
  ['a deletion of its tree', transaction(operation('delete-tree', text(''))), null],
  [
    'a set that its transaction takes back',
    transaction(
      operation('set', text('k'), { value: text('d') }),
      operation('get', text('k')),
      operation('check-not-exists', text('k')),
    ),
    'a',
  ],
]

for (const [name, command, value] of CHANGES) {
  t.test(`a row that was looked at is looked at anew after ${name}`, async t => {
    const machine = new KvMachine({ file: null })
    await machine.open(IDENTITY)
    t.teardown(() => machine.close())
    let index = 0
    const apply = async (command: Uint8Array): Promise<void> => {
      await machine.apply([entry(++index, 1, command)], NONE)
      // So that what was set is in the table, and read there.
      machine.query({ kind: 'lifetimes' })
    }
    const look = (): string | null => {
      const { row } = machine.query({ kind: 'get', key: text('k') })
      return row === null ? null : Buffer.from(row.value).toString()
    }
    await apply(setText('k', 'a'))
    t.strictSame([look(), look()], ['a', 'a'])
    await apply(command)
    t.strictSame([look(), look()], [value, value])
  })
}

function row(bytes: number): KeptRow {
  const [key, value] = [text('k'), new Uint8Array(bytes)]
  const indexes = { createIndex: 1, modifyIndex: 1, lockIndex: 0 }
  return { key, value, ...indexes, flags: 0n, session: '', contentType: '', ttlMs: 0 }
}

t.test('what is remembered is bounded: what is not looked at again gives way', t => {
  const seen = new SeenRows()
  const small = row(8 * 1024)
  seen.add('asked for', small)
  seen.add('once', small)
  const others = 10 * 1024
  let found = 0
  for (let at = 0; at < others; at++) {
    seen.add(`k${at}`, small)
    if (seen.find('asked for') === null) t.fail(`forgotten at ${at}`)
  }
  for (let at = 0; at < others; at++) if (seen.find(`k${at}`) !== null) found++
  t.equal(seen.find('once'), null)
  t.ok(found * 8 * 1024 < 32 * 1024 * 1024, `${found} of ${others}`)
  seen.add('large', row(64 * 1024))
  t.equal(seen.find('large'), null)
  t.end()
})
