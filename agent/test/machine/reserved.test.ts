import t, { type Test } from 'tap'
import { encodeCommand, type KvCommand } from '../../src/machine/kv/command.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { operation } from '../../src/machine/kv/operation.ts'
import { entry, IDENTITY, NONE } from './entries.ts'

const TOKEN = Buffer.from('\0acl/token/1')
const ALL = new Uint8Array(0)

/** Keys a, b and 0x01, and a reserved one. */
async function filled(t: Test) {
  const machine = new KvMachine({ file: null })
  await machine.open(IDENTITY)
  t.teardown(() => machine.close())
  let index = 0
  const run = (command: KvCommand) =>
    machine.apply([entry(++index, 1, encodeCommand(command))], NONE)
  const pair = (key: string | Uint8Array) => ({ key: Buffer.from(key), value: Buffer.from('v') })
  await run({ kind: 'set', pairs: [pair('a'), pair(Uint8Array.of(1)), pair(TOKEN), pair('b')] })
  return { machine, run }
}

const hex = (keys: readonly Uint8Array[]) => keys.map(key => Buffer.from(key).toString('hex'))
const OURS = ['01', '61', '62']

t.test('no range of a client’s reaches a reserved key, the one of all keys included', async t => {
  const { machine } = await filled(t)
  t.strictSame(hex(machine.query({ kind: 'keys', prefix: ALL, separator: ALL }).keys ?? []), OURS)
  const { rows } = machine.query({ kind: 'rows', scope: { kind: 'prefix', bytes: ALL } })
  t.strictSame(hex((rows ?? []).map(({ key }) => key)), OURS)
  const page = machine.query({ kind: 'page', after: null, bytesMax: 1 })
  t.strictSame(hex(page.rows.map(({ key }) => key)), ['01'])
  const tree = machine.query({ kind: 'transaction', operations: [operation('get-tree', ALL)] })
  t.strictSame(
    tree.outcome.kind === 'rows' && hex(tree.outcome.rows.map(({ key }) => key)),
    OURS,
    'nor does a transaction',
  )
})

t.test('all keys are deleted, and the reserved ones stay', async t => {
  const { machine, run } = await filled(t)
  await run({ kind: 'transaction', operations: [operation('delete-tree', ALL)] })
  t.strictSame(machine.query({ kind: 'keys', prefix: ALL, separator: ALL }).keys, [])
  t.ok(machine.query({ kind: 'get', key: TOKEN }).row)
})

t.test(
  'who follows changes is told of none of a reserved key, only that there was one',
  async t => {
    const { machine, run } = await filled(t)
    const { changes } = machine
    const before = changes.reserved
    t.strictSame(
      (changes.read(0, 9) ?? []).flatMap(entry => hex(entry.changes.map(({ key }) => key))),
      ['61', '01', '62'],
    )
    await run({ kind: 'set', pairs: [{ key: Buffer.from('c'), value: ALL }] })
    t.equal(changes.reserved, before)
    await run({ kind: 'delete', key: TOKEN })
    t.not(changes.reserved, before)
    t.equal(changes.read(2, 9)?.length, 0)
    const { index } = machine.query({ kind: 'rows', scope: { kind: 'prefix', bytes: ALL } })
    t.equal(index, 2, 'nor does it count as a change of all keys')
  },
)
