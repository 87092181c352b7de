import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Prng } from '../../src/lib/prng.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { drawSeed, IDENTITY } from './entries.ts'
import { CRASH_KEYS } from './kv-crash-command.ts'
import { text } from './kv-subject.ts'

const CHILD = fileURLToPath(new URL('./kv-crash-child.ts', import.meta.url))
const FULL_CHILD = fileURLToPath(new URL('./kv-full-child.ts', import.meta.url))
const FULL_SNAPSHOT_CHILD = fileURLToPath(new URL('./kv-full-snapshot-child.ts', import.meta.url))
const ROUNDS = 6
/** Those that begin one more, included. */
const TRANSACTION_ENTRIES_MAX = 21_000

/** Lets the child run until `batches` were acknowledged, kills it, and returns the last it acknowledged. */
async function runAndKill(file: string, seed: number, batches: number): Promise<number> {
  // An empty environment: tap's would instrument the child.
  const child = spawn(process.execPath, ['--import', 'tsx', CHILD, file, `${seed}`], {
    env: {},
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  let acknowledged = 0
  let lines = 0
  for await (const line of createInterface(child.stdout)) {
    acknowledged = Number(line)
    lines += 1
    if (lines === batches) child.kill('SIGKILL')
  }
  const [, signal] = await exited
  if (signal !== 'SIGKILL') throw new Error(`the child ended by itself after ${lines} batches`)
  return acknowledged
}

t.test(
  'killed at any moment, it comes back with exactly a prefix, and at most one transaction behind',
  async t => {
    const file = join(t.testdir(), 'kv.db')
    const prng = new Prng(drawSeed(t))
    for (let round = 0; round < ROUNDS; round++) {
      const acknowledged = await runAndKill(file, prng.next(), prng.between(1, 300))
      const machine = new KvMachine({ file })
      const { index } = await machine.open(IDENTITY)
      t.comment(`acknowledged ${acknowledged}, found ${index}`)
      t.ok(index >= acknowledged - TRANSACTION_ENTRIES_MAX, 'the log has little to replay')
      const get = (key: string) => machine.query({ kind: 'get', key: text(key) }).row
      t.equal(
        Number(Buffer.from(get('counter')?.value ?? [])),
        index,
        'the position is that of the data',
      )
      for (let i = index; i > Math.max(0, index - CRASH_KEYS); i--) {
        const row = get(`k${i % CRASH_KEYS}`)
        const found = [Number(Buffer.from(row?.value ?? [])), row?.modifyIndex]
        if (found[0] !== i || found[1] !== i) t.strictSame(found, [i, i], `key of entry ${i}`)
      }
      await machine.close()
    }
  },
)

t.test(
  'a write that the system refuses takes whole batches back, and their position with them',
  async t => {
    const file = join(t.testdir(), 'kv.db')
    const { failure, index } = JSON.parse(await outputOf(FULL_CHILD, file))
    t.comment(`${failure} after ${index}`)
    t.match(failure, /SqliteError/)
    const machine = new KvMachine({ file })
    const applied = (await machine.open(IDENTITY)).index
    t.ok(0 < applied && applied <= index && applied % 10 === 0, `back to ${applied}`)
    const { row } = machine.query({ kind: 'get', key: text('counter') })
    t.equal(Number(Buffer.from(row?.value ?? [])), applied)
    await machine.close()
  },
)

t.test(
  'what a failed commit took back is never read: a snapshot fails, and the machine with it',
  async t => {
    const file = join(t.testdir(), 'kv.db')
    const { failure, index, read } = JSON.parse(await outputOf(FULL_SNAPSHOT_CHILD, file))
    t.match(failure, /SqliteError/)
    t.ok(index > 10, `after ${index}`)
    t.equal(read, null)
  },
)

/** Of a child whose files cannot grow beyond 512 kB. */
async function outputOf(program: string, file: string): Promise<string> {
  const command = 'ulimit -f 16000; exec "$0" --import tsx "$@"'
  const child = spawn('/bin/sh', ['-c', command, process.execPath, program, file], {
    env: {},
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  let output = ''
  for await (const chunk of child.stdout) output += chunk
  await exited
  return output
}
