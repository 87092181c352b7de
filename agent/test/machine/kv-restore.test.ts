import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { plain } from './account.contract.ts'
import { entry, NONE } from './entries.ts'
import { CRASH_KEYS, crashCommand } from './kv-crash-command.ts'
import { RECEIVER, SENDER } from './kv-restore-parts.ts'
import { setText, text } from './kv-subject.ts'
import { tamperSealed } from './tamper.ts'

const CHILD = fileURLToPath(new URL('./kv-restore-child.ts', import.meta.url))
const SNAPSHOT_INDEX = 500

/** A snapshot of 500 entries of term 2. */
async function snapshotIn(directory: string): Promise<{ file: string; applied: unknown }> {
  const machine = new KvMachine({ file: join(directory, 'sender.db') })
  await machine.open(SENDER)
  const entries = Array.from({ length: SNAPSHOT_INDEX }, (_, at) =>
    entry(at + 1, 2, crashCommand(at + 1)),
  )
  await machine.apply(entries, Uint8Array.of(5))
  const file = join(directory, 'snapshot')
  const view = await machine.snapshot()
  await view.writeTo(file)
  view.release()
  const applied = plain(machine.applied())
  await machine.close()
  return { file, applied }
}

/** Every key as of the machine's position: neither older nor newer. */
function isWhole(t: Test, machine: KvMachine): void {
  const { index } = machine.applied()
  const value = (key: string) => {
    const { row } = machine.query({ kind: 'get', key: text(key) })
    return Number(Buffer.from(row?.value ?? []))
  }
  t.equal(value('counter'), index, 'the position is that of the data')
  for (let at = index; at > Math.max(0, index - CRASH_KEYS); at--) {
    if (value(`k${at % CRASH_KEYS}`) !== at) t.fail(`key of entry ${at}`)
  }
}

for (const [step, old] of [
  ['inspected', true],
  ['wal removed', true],
  ['replaced', false],
  ['durable', false],
  ['restored', false],
] as const) {
  t.test(`killed when ${step}: the state is the ${old ? 'old' : 'new'} one, and whole`, async t => {
    const directory = t.testdir()
    const { file: snapshot, applied } = await snapshotIn(directory)
    const file = join(directory, 'receiver.db')
    const child = spawn(process.execPath, ['--import', 'tsx', CHILD, file, snapshot, step], {
      env: {},
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    const [, signal] = await once(child, 'exit')
    t.equal(signal, 'SIGKILL')
    const machine = new KvMachine({ file })
    const found = await machine.open(RECEIVER)
    isWhole(t, machine)
    t.equal(existsSync(snapshot), old, 'the file is there as long as it is needed')
    if (old) {
      t.ok(found.index >= 200 && found.index <= 260 && found.term === 1, `${found.index}`)
      await machine.inspect(snapshot)
      await machine.restore(snapshot)
    }
    t.strictSame(plain(machine.applied()), applied)
    isWhole(t, machine)
    const next = SNAPSHOT_INDEX + 1
    await machine.apply([entry(next, 2, crashCommand(next))], NONE)
    isWhole(t, machine)
    await machine.close()
    const again = new KvMachine({ file })
    t.equal((await again.open(RECEIVER)).index, next)
    await again.close()
  })
}

t.test('tables that are not ours, a trigger or a flipped byte of a value are refused', async t => {
  const directory = t.testdir()
  const machine = new KvMachine({ file: join(directory, 'receiver.db') })
  t.teardown(() => machine.close())
  await machine.open(RECEIVER)
  for (const [what, sql, message] of [
    ['a trigger', 'CREATE TRIGGER evil AFTER INSERT ON kv BEGIN DELETE FROM kv; END', /tables/],
    ['a view', 'CREATE VIEW evil AS SELECT * FROM kv', /tables/],
    ['another table', 'CREATE TABLE evil(a)', /tables/],
    ['a table less', 'DROP TABLE _sessions', /tables/],
    ['a value', `UPDATE kv SET value = x'00' WHERE key = x'6b31'`, /differs from its checksum/],
    ['no position', 'DELETE FROM _raft', /belongs to clusterId undefined/],
  ] as const) {
    const { file } = await snapshotIn(await mkdtemp(join(directory, 'from-')))
    await tamperSealed(file, sql)
    await t.rejects(machine.inspect(file), message, what)
  }
})

t.test(
  'a copy that is given up in its midst holds up nothing, and closing does not wait',
  async t => {
    const directory = t.testdir()
    const machine = new KvMachine({ file: join(directory, 'kv.db') })
    await machine.open(SENDER)
    for (let index = 1; index <= 40; index++) {
      const value = 'x'.repeat(500_000)
      await machine.apply([entry(index, 1, setText(`k${index}`, value))], NONE)
    }
    // One that was done before is made again, and given up sooner.
    for (
      let waitMs = 20, outcome: unknown = null;
      outcome === null;
      waitMs = Math.floor(waitMs / 2)
    ) {
      const view = await machine.snapshot()
      const copied = view.writeTo(join(directory, 'copy')).then(
        () => null,
        (error: unknown) => error,
      )
      await new Promise(resolve => setTimeout(resolve, waitMs))
      view.release()
      outcome = await copied
      if (outcome !== null) t.match(outcome, { message: /given up/ })
    }
    await machine.apply([entry(41, 1, setText('k', 'v'))], NONE)
    await new Promise(resolve => setTimeout(resolve, 50))
    t.equal((await machine.checkpoint()).index, 41)
    const second = await machine.snapshot()
    const lost = t.rejects(second.writeTo(join(directory, 'copy')), /given up/)
    await new Promise(resolve => setImmediate(resolve))
    await machine.close()
    await lost
    t.notOk(readdirSync(directory).includes('kv.db-wal'), 'the last checkpoint was complete')
  },
)
