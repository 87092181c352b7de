import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { DecodeError } from '../../src/lib/bytes.ts'
import { Prng } from '../../src/lib/prng.ts'
import {
  decodeCommand,
  decodeKeys,
  decodeRow,
  encodeCommand,
  encodeQuery,
  type LevelCommand,
} from '../../src/machine/level/command.ts'
import { LevelMachine } from '../../src/machine/level/level-machine.ts'
import type { PlugInAnswer } from '../../src/machine/plug-in/host.ts'
import {
  type CommittedEntry,
  MachineDamaged,
  type Result,
} from '../../src/machine/state-machine.ts'
import { drawSeed, entry, IDENTITY, NONE } from './entries.ts'
import { type Model, type Subject, stateMachineContract } from './state-machine.contract.ts'

t.setTimeout(300_000)

const bytes = (text: string): Uint8Array => Buffer.from(text)
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex')
const put = (key: string, value: string): Uint8Array =>
  encodeCommand({ kind: 'put', key: bytes(key), value: bytes(value) })

class LevelModel implements Model {
  readonly #rows = new Map<string, readonly [string, number, number]>()

  apply({ command, position: { index } }: CommittedEntry): Result {
    if (command === null) return { kind: 'done', value: null }
    const decoded = tryDecode(command)
    if (decoded === null) return { kind: 'rejected', code: 'UNDECODABLE' }
    const key = hex(decoded.key)
    if (decoded.kind === 'delete') this.#rows.delete(key)
    else {
      const created = this.#rows.get(key)?.[1] ?? index
      this.#rows.set(key, [hex(decoded.value), created, index])
    }
    return { kind: 'done', value: null }
  }

  dump(): unknown {
    return [...this.#rows].sort(([a], [b]) => (a < b ? -1 : 1))
  }
}

function tryDecode(command: Uint8Array): LevelCommand | null {
  try {
    return decodeCommand(command)
  } catch (error) {
    if (error instanceof DecodeError) return null
    throw error
  }
}

type Asked = Pick<LevelMachine, 'query'> | Parameters<Subject<Uint8Array, PlugInAnswer>['dump']>[0]

async function dump(machine: Asked): Promise<unknown> {
  const rows: unknown[] = []
  let after = NONE
  for (;;) {
    const list = encodeQuery({ kind: 'list', prefix: NONE, after, limit: 3 })
    const keys = decodeKeys((await machine.query(list)).value)
    const last = keys.at(-1)
    if (last === undefined) return rows
    for (const { key } of keys) {
      const row = decodeRow((await machine.query(encodeQuery({ kind: 'get', key }))).value)
      rows.push([hex(key), row && [hex(row.value), row.createIndex, row.modifyIndex]])
    }
    after = last.key.slice()
  }
}

const key = fc.constantFrom('a', 'b', 'a/b', '\0', '\u{10ffff}').map(bytes)
const value = fc.constantFrom('', 'x', 'y'.repeat(300)).map(bytes)

function subject(where: 'file' | 'memory'): Subject<Uint8Array, PlugInAnswer> {
  return {
    name: `LevelMachine, ${where}`,
    durable: where === 'file',
    create: directory => new LevelMachine({ directory: where === 'file' ? directory : null }),
    model: () => new LevelModel(),
    dump,
    commands: fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ key, value }).map(it => encodeCommand({ kind: 'put', ...it })),
      },
      { weight: 3, arbitrary: key.map(key => encodeCommand({ kind: 'delete', key })) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 8 }) },
    ),
    visible: put('seen', 'seen'),
    refused: Uint8Array.of(1, 9),
  }
}

stateMachineContract(t, subject('file'))
stateMachineContract(t, subject('memory'))

async function opened(t: Test, directory: string): Promise<LevelMachine> {
  const machine = new LevelMachine({ directory })
  t.teardown(() => machine.close())
  await machine.open(IDENTITY)
  return machine
}

async function filled(t: Test, directory: string, entries: number): Promise<LevelMachine> {
  const machine = await opened(t, directory)
  const request = (at: number) => ({ key: `request-${at}`, requestHash: new Uint8Array(32) })
  for (let from = 1; from <= entries; from += 100) {
    const batch = Array.from({ length: 100 }, (_, at) => {
      const index = from + at
      const command = put(`key-${index % 700}`, `value ${index} ${'z'.repeat(index % 400)}`)
      return { ...entry(index, 1, command), idempotency: index % 5 === 0 ? request(index) : null }
    })
    await machine.apply(batch, NONE)
  }
  return machine
}

/** Flips one bit of a copy, and opens it: what it answers then, or damage. */
async function flipped(
  from: string,
  to: string,
  [name, at]: readonly [string, number],
): Promise<unknown> {
  rmSync(to, { recursive: true, force: true })
  cpSync(from, to, { recursive: true })
  const path = join(to, name)
  const content = readFileSync(path)
  content[at] = (content[at] ?? 0) ^ (1 << (at % 8))
  writeFileSync(path, content)
  const machine = new LevelMachine({ directory: to })
  try {
    const { index } = await machine.open(IDENTITY)
    return { index, rows: await dump(machine) }
  } catch (error) {
    // Whoever mends the node looks for it among the machine's own files.
    if (error instanceof MachineDamaged && error.file === join(to, 'level-kv')) return error
    throw error
  } finally {
    await machine.close()
  }
}

/** A seed by which a table points to a place that no file has. */
const MISLED = 1_206_068_381

for (const where of ['log', 'tables'] as const) {
  t.test(
    `a flipped bit anywhere in its ${where} is damage, or takes back its last batches`,
    async t => {
      const prng = new Prng(drawSeed(t))
      const place = join(t.testdir(), 'closed')
      mkdirSync(place)
      const machine = await filled(t, place, 3000)
      const whole = { index: 3000, rows: await dump(machine) }
      await machine.close()
      if (where === 'tables') await (await opened(t, place)).close() // moves its log into them
      const spoilt = join(t.testdirName, 'spoilt')
      const outcome = { damage: 0, whole: 0, prefix: 0 }
      const flips = [...flipsIn(place, new Prng(MISLED)), ...flipsIn(place, prng)]
      for (const flip of flips) {
        const found = await flipped(place, spoilt, flip)
        if (found instanceof MachineDamaged) outcome.damage += 1
        else if (JSON.stringify(found) === JSON.stringify(whole)) outcome.whole += 1
        else {
          const { index, rows } = found as typeof whole
          outcome.prefix += 1
          if (JSON.stringify(rows) !== (await modelAt(t, index)))
            t.fail(`${flip}: wrong at ${index}`)
        }
      }
      t.comment(JSON.stringify(outcome))
      t.ok(outcome.damage > 0)
    },
  )
}

t.test('what would end the process if LevelDB read it is damage', async t => {
  const place = join(t.testdir(), 'closed')
  mkdirSync(place)
  await (await filled(t, place, 3000)).close()
  await (await opened(t, place)).close() // moves its log into tables
  const names = readdirSync(join(place, 'level-kv'), { recursive: true, encoding: 'utf8' })
  const table = names.find(name => name.endsWith('.ldb')) ?? t.fail('there is a table')
  const path = join(place, 'level-kv', `${table}`)
  const content = readFileSync(path)
  content[1] = 0 // length of its first key, which LevelDB asserts to be eight or more
  writeFileSync(path, content)
  const machine = new LevelMachine({ directory: place })
  await t.rejects(async () => machine.open(IDENTITY), {
    name: 'MachineDamaged',
    message: /\.ldb: the block at 0 is damaged/,
  })
  await machine.close()
})

t.test('a table that a crash left unfinished is none of it', async t => {
  const place = t.testdir()
  const machine = await filled(t, place, 300)
  const rows = await dump(machine)
  await machine.close()
  writeFileSync(join(place, 'level-kv/g1/000999.ldb'), 'torn')
  t.strictSame(await dump(await opened(t, place)), rows)
})

t.test('where the file is gone that names its directory, nothing is removed', async t => {
  const place = t.testdir()
  const machine = await filled(t, place, 300)
  const rows = await dump(machine)
  await machine.close()
  const current = join(place, 'level-kv/current')
  const name = readFileSync(current)
  rmSync(current)
  const lost = new LevelMachine({ directory: place })
  await t.rejects(async () => lost.open(IDENTITY), {
    name: 'MachineDamaged',
    message: /current is missing/,
  })
  await lost.close()
  writeFileSync(current, name)
  t.strictSame(await dump(await opened(t, place)), rows)
})

t.test('what a crash left of the very first directory is begun anew', async t => {
  const place = t.testdir({ 'level-kv': { beginning: '', g1: { '000003.log': 'torn' } } })
  const machine = await opened(t, place)
  t.match(machine.applied(), { index: 0, term: 0 })
  t.strictSame(readdirSync(join(place, 'level-kv')).sort(), ['current', 'g1'])
})

/** Some places in each file that holds data. */
function flipsIn(place: string, prng: Prng): [string, number][] {
  return readdirSync(place, { recursive: true, encoding: 'utf8' }).flatMap(name => {
    const found = statSync(join(place, name))
    if (!found.isFile() || found.size === 0 || /LOG|LOCK|\.lock/.test(name)) return []
    const places = Array.from({ length: 40 }, () => prng.between(0, found.size - 1))
    return [...new Set(places)].map((at): [string, number] => [name, at])
  })
}

async function modelAt(t: Test, entries: number): Promise<string> {
  const directory = join(t.testdirName, `model-${entries}`)
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory)
  const machine = await filled(t, directory, entries)
  const rows = JSON.stringify(await dump(machine))
  await machine.close()
  return rows
}

t.test('a flipped bit anywhere in a snapshot is found', async t => {
  const prng = new Prng(drawSeed(t))
  const machine = await filled(t, t.testdir(), 1000)
  const { file, content } = await snapshotOf(t, machine)
  const places = Array.from({ length: 200 }, () => prng.between(0, content.length - 1))
  for (const at of [...places, 0, content.length - 1]) await spoil(t, machine, { content, at })
  t.match(await machine.inspect(file), { index: 1000, term: 1 })
})

t.test('and in each byte of its end, where its account is', async t => {
  const machine = await filled(t, t.testdir(), 100)
  const { content } = await snapshotOf(t, machine)
  for (let back = 1; back <= 250; back++)
    await spoil(t, machine, { content, at: content.length - back })
})

async function snapshotOf(t: Test, machine: LevelMachine) {
  const file = join(t.testdirName, 'snapshot')
  const view = machine.snapshot()
  await view.writeTo(file)
  view.release()
  return { file, content: readFileSync(file) }
}

/** Flips a bit of that byte in a copy, which has to be damage. */
async function spoil(
  t: Test,
  machine: LevelMachine,
  { content, at }: { readonly content: Buffer; readonly at: number },
): Promise<void> {
  const spoilt = join(t.testdirName, 'spoilt')
  const copy = Buffer.from(content)
  copy[at] = (copy[at] ?? 0) ^ (1 << (at % 8))
  writeFileSync(spoilt, copy)
  const found = await machine.inspect(spoilt).catch(error => error)
  if (!(found instanceof MachineDamaged)) t.fail(`byte ${at}: ${String(found)}`)
}

t.test('its routes put, give, list and delete, within their limits', async t => {
  const machine = await opened(t, t.testdir())
  let index = 0
  const app = machine.routes({
    propose: async (_, command) => {
      await machine.apply([entry(++index, 1, command)], NONE)
      return new Uint8Array(0)
    },
    query: async (_, query) => Uint8Array.from((await machine.query(query)).value),
    status: () => ({ node: 'node0', leader: 'node0', appliedIndex: index }),
  })
  const ask = async (method: string, path: string, body: string | null = null) => {
    const response = await app.fetch(new Request(`http://node${path}`, { method, body }))
    return { status: response.status, text: await response.text(), headers: response.headers }
  }
  t.match(await ask('PUT', '/keys/a/b%20c', 'one'), { status: 204 })
  t.match(await ask('PUT', '/keys/a/d', 'two'), { status: 204 })
  t.match(await ask('PUT', '/keys/b', ''), { status: 204 })
  const found = await ask('GET', '/keys/a/b%20c')
  t.match(found, { status: 200, text: 'one' })
  t.equal(found.headers.get('X-Modify-Index'), '1')
  t.match(await ask('GET', '/keys/none'), { status: 404, text: /KEY_NOT_FOUND/ })
  const keysOf = async (path: string) => {
    const { keys } = JSON.parse((await ask('GET', path)).text) as { keys: { key: string }[] }
    return keys.map(({ key }) => key)
  }
  t.strictSame(await keysOf('/keys'), ['a/b c', 'a/d', 'b'])
  t.strictSame(await keysOf('/keys?prefix=a/'), ['a/b c', 'a/d'])
  t.strictSame(await keysOf('/keys?after=a/d'), ['b'])
  t.strictSame(await keysOf('/keys?limit=1'), ['a/b c'])
  t.match(await ask('GET', '/keys?limit=1001'), { status: 400, text: /BAD_LIMIT/ })
  t.match(await ask('PUT', `/keys/${'k'.repeat(513)}`, ''), { status: 400, text: /KEY_TOO_LONG/ })
  t.match(await ask('PUT', '/keys/k', 'v'.repeat(512 * 1024 + 1)), { status: 413 })
  t.match(await ask('DELETE', '/keys/a/d'), { status: 204 })
  t.strictSame(await keysOf('/keys'), ['a/b c', 'b'])
  t.match(await ask('GET', '/elsewhere'), { status: 404, text: /NOT_FOUND/ })
  t.equal(index, 4, 'what is refused is not proposed')
})
