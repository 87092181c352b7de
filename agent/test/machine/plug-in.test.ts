import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { MemoryMachineAdapter } from '../../src/machine/plug-in/adapter.ts'
import type { PlugInAnswer } from '../../src/machine/plug-in/host.ts'
import type { MemoryMachine } from '../../src/machine/plug-in/memory-machine.ts'
import { chooseMachine } from '../../src/machine/registry.ts'
import { SESSION_LIFETIME_MS } from '../../src/machine/sqlite/sessions.ts'
import type { CommittedEntry, Result } from '../../src/machine/state-machine.ts'
import { entry, IDENTITY, NONE } from './entries.ts'
import { type Model, type Subject, stateMachineContract } from './state-machine.contract.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

/** Words in their order; the empty one is refused. Its author's part is under test nowhere here. */
function words(own: Partial<MemoryMachine> = {}): MemoryMachine {
  let list: string[] = []
  return {
    name: 'words',
    apply(command, { index, timeMs, reject }) {
      if (command.length === 0) return reject('EMPTY')
      list.push(`${text(command)}@${index}/${timeMs}`)
      return command.length > 3 ? bytes(`${list.length}`) : undefined
    },
    query: () => bytes(list.join('\n')),
    snapshot: () => bytes(JSON.stringify(list)),
    restore(state) {
      list = JSON.parse(text(state)) as string[]
    },
    ...own,
  }
}

class WordsModel implements Model {
  readonly #list: string[] = []

  apply({ command, position, timeMs }: CommittedEntry): Result {
    if (command === null) return { kind: 'done', value: null }
    if (command.length === 0) return { kind: 'rejected', code: 'EMPTY' }
    this.#list.push(`${text(command)}@${position.index}/${timeMs}`)
    const value = command.length > 3 ? bytes(`${this.#list.length}`) : null
    return { kind: 'done', value }
  }

  dump(): unknown {
    return this.#list.join('\n')
  }
}

function subject(where: 'file' | 'memory'): Subject<Uint8Array, PlugInAnswer> {
  return {
    name: `MemoryMachineAdapter, ${where}`,
    durable: where === 'file',
    create: directory => adapter({ directory: where === 'file' ? lasting(directory) : null }),
    model: () => new WordsModel(),
    dump: async machine => text((await machine.query(NONE)).value),
    commands: fc.constantFrom('', 'a', 'word', 'another').map(bytes),
    visible: bytes('seen'),
    refused: bytes(''),
  }
}

/** A directory that outlasts the one of a test, which is gone when the test's machines are closed. */
const parent = mkdtempSync(join(tmpdir(), 'plug-in-'))
t.teardown(() => rmSync(parent, { recursive: true, force: true }))

function lasting(directory: string): string {
  const own = join(parent, createHash('sha256').update(directory).digest('hex'))
  mkdirSync(own, { recursive: true })
  return own
}

function adapter(place: { readonly directory: string | null }, own: Partial<MemoryMachine> = {}) {
  return new MemoryMachineAdapter(words(own), place)
}

stateMachineContract(t, subject('file'))
stateMachineContract(t, subject('memory'))

t.test(
  'a request that is repeated gets its first answer, also from a restored machine',
  async t => {
    const directory = t.testdir()
    const first = adapter({ directory })
    await first.open(IDENTITY)
    const request = (index: number, hash: number, timeMs = 1000) => ({
      ...entry(index, 1, bytes('word')),
      timeMs,
      idempotency: { key: 'k', requestHash: Buffer.alloc(32, hash) },
    })
    const answer = [{ kind: 'done', value: bytes('1') }]
    t.strictSame(first.apply([request(1, 1)], NONE), answer)
    t.strictSame(first.apply([request(2, 1)], NONE), answer)
    await first.close()
    const again = adapter({ directory })
    await again.open(IDENTITY)
    t.strictSame(again.apply([request(3, 1)], NONE), answer)
    t.strictSame(again.apply([request(4, 2)], NONE), [{ kind: 'rejected', code: 'KEY_REUSED' }])
    t.equal(text(again.query(NONE).value), 'word@1/1000')
    const later = request(5, 2, 1000 + SESSION_LIFETIME_MS)
    t.strictSame(again.apply([later], NONE), [{ kind: 'done', value: bytes('2') }], 'forgotten')
    await again.close()
  },
)

t.test("the log's time never falls, whatever the leaders' clocks do", async t => {
  const machine = adapter({ directory: null })
  await machine.open(IDENTITY)
  machine.apply([{ ...entry(1, 1, bytes('a')), timeMs: 500 }], NONE)
  machine.apply([{ ...entry(2, 2, bytes('b')), timeMs: 400 }], NONE)
  t.equal(text(machine.query(NONE).value), 'a@1/500\nb@2/500')
})

t.test("an author's error stops the machine: what it half did is answered to nobody", async t => {
  const directory = t.testdir()
  const broken = adapter({ directory }, { apply: () => JSON.parse('{') })
  await broken.open(IDENTITY)
  t.throws(() => broken.apply([entry(1, 1, bytes('a'))], NONE), SyntaxError)
  t.throws(() => broken.query(NONE), SyntaxError)
  await t.rejects(async () => broken.checkpoint(), SyntaxError)
  await broken.close()
  const again = adapter({ directory })
  t.equal((await again.open(IDENTITY)).index, 0, 'and stored nowhere')
  await again.close()
})

t.test('a result that is no bytes is an error of the author', async t => {
  for (const result of [7, 'text', Promise.resolve()] as unknown[]) {
    const machine = adapter({ directory: null }, { apply: () => result as Uint8Array })
    await machine.open(IDENTITY)
    t.throws(() => machine.apply([entry(1, 1, bytes('a'))], NONE), /bytes or nothing/)
  }
})

t.test('a file with one changed byte is refused, wherever that is', async t => {
  const directory = t.testdir()
  const machine = adapter({ directory })
  await machine.open(IDENTITY)
  machine.apply([entry(1, 1, bytes('word'))], NONE)
  await machine.close()
  const file = join(directory, 'words.image')
  const good = readFileSync(file)
  for (let at = 0; at < good.length; at += 3) {
    const changed = Buffer.from(good)
    changed[at] = (changed[at] ?? 0) ^ 4
    writeFileSync(file, changed)
    await t.rejects(adapter({ directory }).open(IDENTITY), /words.image/)
  }
  writeFileSync(file, good)
  const again = adapter({ directory })
  t.equal((await again.open(IDENTITY)).index, 1)
  await again.close()
})

t.test(
  'a large state is written when the log has grown as much, and not for each command',
  async t => {
    const large = 'x'.repeat(300_000)
    const machine = adapter({ directory: t.testdir() })
    await machine.open(IDENTITY)
    machine.apply([entry(1, 1, bytes(large))], NONE)
    t.equal((await machine.checkpoint()).index, 1)
    machine.apply([entry(2, 1, bytes('word'))], NONE)
    t.equal((await machine.checkpoint()).index, 1, 'not yet')
    machine.apply([entry(3, 1, bytes(`${large}more than before${large}`))], NONE)
    t.equal((await machine.checkpoint()).index, 3)
    await machine.close()
  },
)

t.test('a small state is written whenever that is asked', async t => {
  const machine = adapter({ directory: t.testdir() })
  await machine.open(IDENTITY)
  machine.apply([entry(1, 1, bytes('x'.repeat(50_000)))], NONE)
  t.equal((await machine.checkpoint()).index, 1)
  machine.apply([entry(2, 1, bytes('word'))], NONE)
  t.equal((await machine.checkpoint()).index, 2)
  await machine.close()
})

t.test('a machine is chosen by its name or its path; anything else is said in words', async t => {
  const module = (t: Test, source: string) => {
    const directory = t.testdir({ 'machine.mjs': source })
    return join(directory, 'machine.mjs')
  }
  const counter = join(import.meta.dirname, '../../examples/2-counter/counter.ts')
  const inMemory = { directory: null }
  t.match(await chooseMachine('sqlite-kv', inMemory), { kind: 'keys', name: 'sqlite-kv' })
  t.match(await chooseMachine(counter, inMemory), { kind: 'plug-in', name: 'counter' })
  t.test('no such name', async t => {
    await t.rejects(chooseMachine('sqlite-vk', inMemory), /no sqlite-vk; .* sqlite-kv.* path/)
  })
  t.test('no such file', async t => {
    await t.rejects(
      chooseMachine('/nowhere/machine.js', inMemory),
      /no module \/nowhere\/machine.js/,
    )
  })
  for (const [story, source, words] of [
    ['a module that does not load', 'export const a = ]', /cannot be loaded/],
    ['a module of something else', 'export const a = 1', /does not export .* createMachine/],
    ['a machine without a name', 'export const createMachine = () => ({})', /its name must be/],
    [
      'a machine without its methods',
      "export const createMachine = () => ({ name: 'a', apply() {}, query() {} })",
      /a of .* lacks the method snapshot, restore/,
    ],
    [
      'a durable machine without its methods',
      "export const createMachine = () => ({ name: 'a', storage: 'durable', apply() {} })",
      /lacks the method open, query, durablePosition/,
    ],
  ] as const) {
    t.test(story, async t => {
      await t.rejects(chooseMachine(module(t, source), inMemory), words)
    })
  }
})

t.test('a data directory stays with the machine that it began with', async t => {
  const counter = join(import.meta.dirname, '../../examples/2-counter/counter.ts')
  const fresh = t.testdir({ fresh: {}, older: { 'kv.sqlite': '' } })
  const directory = join(fresh, 'fresh')
  await chooseMachine(counter, { directory })
  await chooseMachine(counter, { directory })
  await t.rejects(
    chooseMachine('sqlite-kv', { directory }),
    /the data of counter, not of sqlite-kv/,
  )
  const older = join(fresh, 'older')
  await t.rejects(chooseMachine(counter, { directory: older }), /the data of sqlite-kv/)
  await chooseMachine('sqlite-kv', { directory: older })
})
