/** A commit is written in slices: what it puts into the file is one state, whatever is applied meanwhile. */

import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { ByteReader } from '../../src/lib/bytes.ts'
import { Prng } from '../../src/lib/prng.ts'
import { Chain } from '../../src/machine/chain.ts'
import { decodeChanges } from '../../src/machine/kv/change-codec.ts'
import { encodeCommand } from '../../src/machine/kv/command.ts'
import { nearlyInOrder } from '../../src/machine/kv/key-order.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { operation } from '../../src/machine/kv/operation.ts'
import { drawSeed, entry, IDENTITY, NONE } from './entries.ts'
import { hex } from './kv-model.ts'
import { setText, text } from './kv-subject.ts'

t.setTimeout(120_000)

interface Stored {
  readonly index: number
  readonly chain: Buffer
}

/** Applies batches, remembers what each led to, and compares whatever is committed with that. */
class Watched {
  readonly machine: KvMachine
  /** indexes of commits that were seen, and how far the machine was then */
  readonly commits: (readonly [index: number, applied: number])[] = []
  readonly #t: Test
  readonly #observer: Database.Database
  /** of each entry */
  readonly #puts: (readonly [key: string, value: string])[] = []
  /** by index of a batch's last entry */
  readonly #hashes = new Map<number, string>()
  /** as of the last commit that was seen */
  readonly #rows = new Map<string, readonly [value: string, create: number, modify: number]>()
  #seen = 0

  private constructor(t: Test, machine: KvMachine, file: string) {
    this.#t = t
    this.machine = machine
    this.#observer = new Database(file, { readonly: true })
  }

  static async open(t: Test): Promise<Watched> {
    const file = join(t.testdir(), 'kv.db')
    const machine = new KvMachine({ file })
    await machine.open(IDENTITY)
    return new Watched(t, machine, file)
  }

  async put(pairs: readonly (readonly [key: string, value: string])[]): Promise<void> {
    await this.#apply(pairs.map(([key, value]) => setText(key, value)))
    this.#puts.push(...pairs)
    this.#look()
  }

  /** The same by a command that goes to the table at once. */
  async putAtOnce(key: string, value: string): Promise<void> {
    const operations = [operation('set', text(key), { value: text(value), ttlMs: 0 })]
    await this.#apply([encodeCommand({ kind: 'transaction', operations })])
    this.#puts.push([key, value])
    this.#look()
  }

  /** Entries that the file does not have. */
  get behind(): number {
    return this.#puts.length - this.#seen
  }

  async end(): Promise<void> {
    await this.machine.close()
    this.#look()
    this.#t.equal(this.#seen, this.#puts.length)
    this.#observer.close()
  }

  async #apply(commands: readonly Uint8Array[]): Promise<void> {
    const before = this.#puts.length
    await this.machine.apply(
      commands.map((command, at) => entry(before + at + 1, 1, command)),
      NONE,
    )
    const { index, chainHash } = this.machine.applied()
    this.#hashes.set(index, hex(chainHash))
  }

  #look(): void {
    this.#observer.exec('BEGIN')
    const stored = this.#observer.prepare('SELECT applied_index AS "index", chain FROM _raft').get()
    const { index, chain } = stored as Stored
    if (index !== this.#seen) {
      this.commits.push([index, this.#puts.length])
      this.#advance(index)
      const hash = hex(new Chain(chain).hash())
      if (hash !== this.#hashes.get(index)) this.#t.fail(`chain of another state than ${index}`)
      this.#compareRows(index)
      this.#compareHistory(index)
    }
    this.#observer.exec('COMMIT')
  }

  #advance(index: number): void {
    for (let at = this.#seen; at < index; at++) {
      const put = this.#puts[at]
      if (put === undefined) throw new Error(`${index} was never applied`)
      const created = this.#rows.get(put[0])?.[1] ?? at + 1
      this.#rows.set(put[0], [put[1], created, at + 1])
    }
    this.#seen = index
  }

  #compareRows(index: number): void {
    const sql = `SELECT CAST(key AS TEXT), CAST(value AS TEXT), create_index, modify_index FROM kv`
    const found = this.#observer.prepare(sql).raw().all() as [string, string, number, number][]
    if (found.length !== this.#rows.size) this.#t.fail(`${found.length} rows as of ${index}`)
    for (const [key, ...row] of found) {
      const known = this.#rows.get(key) ?? []
      if (row.some((field, at) => field !== known[at])) {
        this.#t.fail(`${key} as of ${index}: of entry ${row[2]}, not ${known[2]}`)
      }
    }
  }

  #compareHistory(index: number): void {
    const parts = this.#observer.prepare('SELECT upto, body FROM kv_changes ORDER BY upto').raw()
    const [extent, ...pieces] = parts.all() as [number, Buffer][]
    const reader = new ByteReader(extent?.[1] ?? NONE)
    const [since, upto] = [reader.f64(), reader.f64()]
    this.#t.equal(upto, index, 'the history ends where the rows do')
    const told = pieces.flatMap(([, body]) => decodeChanges(body)).map(one => one.index)
    const kept = told.filter(one => one > since)
    const expected = []
    for (let at = since; at < index; at++) expected.push(at + 1)
    this.#t.strictSame(kept, expected, 'all of it, once')
  }
}

/** Entries that make a commit due. */
const DUE = 20_000

const keyOf = (number: number) => `some/key/${`${number}`.padStart(6, '0')}`

t.test('what is committed while plain values come is one state of lately, whole', async t => {
  const prng = new Prng(drawSeed(t))
  const watched = await Watched.open(t)
  let count = 0
  while (watched.commits.length < 4) {
    const pairs = Array.from(
      { length: prng.between(20, 200) },
      () => [keyOf(prng.between(0, 6_000)), `${++count}`] as const,
    )
    await watched.put(pairs)
    const [key, value] = pairs[pairs.length - 1] ?? ['', '']
    const { row } = watched.machine.query({ kind: 'get', key: text(key) })
    if (Buffer.from(row?.value ?? []).toString() !== value) t.fail(`${key} is not ${value}`)
  }
  for (const [index, applied] of watched.commits) {
    t.ok(index < applied, `${index} while ${applied} was applied: others came meanwhile`)
  }
  await watched.end()
})

t.test('large values, which are many bytes in few rows', async t => {
  const prng = new Prng(drawSeed(t))
  const watched = await Watched.open(t)
  let count = 0
  while (watched.commits.length < 3) {
    await watched.put(
      Array.from(
        { length: 4 },
        () => [keyOf(prng.between(0, 60)), `${++count}`.padStart(65_536)] as const,
      ),
    )
  }
  for (const [index, applied] of watched.commits) {
    t.ok(index < applied, `${index} while ${applied} was applied: others came meanwhile`)
  }
  await watched.end()
})

t.test('what needs the tables while a state is written makes it one of all', async t => {
  const prng = new Prng(drawSeed(t))
  const watched = await Watched.open(t)
  let count = 0
  const needs: (() => unknown)[] = [
    () => watched.putAtOnce(keyOf(prng.between(0, 6_000)), `${++count}`),
    () => watched.putAtOnce('some/other', `${++count}`),
    () => watched.machine.query({ kind: 'keys', prefix: text('some/key/0001'), separator: NONE }),
    () => watched.machine.query({ kind: 'page', after: null, bytesMax: 1_000 }),
    async () => (await watched.machine.snapshot()).release(),
    () => watched.machine.checkpoint(),
  ]
  for (let at = 0; at < 2 * needs.length; ) {
    await watched.put(
      Array.from(
        { length: prng.between(50, 300) },
        () => [keyOf(prng.between(0, 6_000)), `${++count}`] as const,
      ),
    )
    if (watched.behind < DUE) continue
    // A commit is due, and none is seen yet: so it is being written.
    await needs[at++ % needs.length]?.()
    while (watched.behind >= DUE) await watched.put([[keyOf(1), `${++count}`]])
  }
  await watched.end()
})

t.test('names are brought nearly into order, and none is lost', async t => {
  const prng = new Prng(drawSeed(t))
  const named = (names: readonly string[]) => names.map(name => ({ name }))
  const shuffled = Array.from({ length: 5_000 }, () => keyOf(prng.between(0, 10_000)))
  const ordered = nearlyInOrder(named(shuffled)).map(({ name }) => name)
  t.strictSame(ordered, shuffled.toSorted(), 'behind what all have in common, four bytes tell')
  t.strictSame(nearlyInOrder(named(['b', '', 'a'])), named(['', 'a', 'b']))
  t.strictSame(nearlyInOrder(named(['same', 'same'])), named(['same', 'same']))
  t.strictSame(nearlyInOrder([]), [])
})
