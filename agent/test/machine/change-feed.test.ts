import { deepEqual } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { EntryChanges } from '../../src/machine/kv/change.ts'
import { decodeChanges } from '../../src/machine/kv/change-codec.ts'
import { ChangeFeed } from '../../src/machine/kv/change-feed.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import type { KvRow } from '../../src/machine/kv/row.ts'
import { entry, IDENTITY, NONE } from './entries.ts'
import { hex } from './kv-model.ts'
import { kvCommands, set, text } from './kv-subject.ts'

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

const sized = fc.record({
  bytes: fc.oneof(fc.nat(300), fc.nat(40_000), fc.constantFrom(65_000, 65_536, 200_000)),
  mortal: fc.nat(9).map(n => n === 0),
  locked: fc.boolean(),
})
const FEED_BYTES = 1024 * 1024

type Sized = typeof sized extends fc.Arbitrary<infer One> ? One : never

/** A feed of entries 2, 4, 6…, and what each counts for. */
function filled(given: readonly Sized[]): { feed: ChangeFeed; costs: Map<number, number> } {
  const feed = new ChangeFeed(FEED_BYTES)
  const costs = new Map<number, number>()
  for (const [at, { bytes, mortal, locked }] of given.entries()) {
    const index = 2 * at + 2
    const key = text(`k${at}`)
    const lifetimes = [{ what: 'key', id: key, index, lifetimeMs: bytes } as const]
    const standing = { createIndex: 1, lockIndex: locked ? 3 : 0, session: locked ? 'Ä' : '' }
    const command = set([{ key, value: new Uint8Array(bytes) }])
    if (mortal) feed.add({ index, changes: [], sessions: false, lifetimes })
    else feed.addSet(index, command, standing, `k${at}`)
    costs.set(index, mortal ? 256 : 256 + key.length + bytes)
    feed.publish(index)
  }
  return { feed, costs }
}

const givenAt = (given: readonly Sized[], index: number): Sized | undefined => given[index / 2 - 1]

const shownOf = ({ index, changes: [change], lifetimes: [lifetime] }: EntryChanges): unknown => [
  index,
  change?.value?.length,
  change?.row?.session,
  lifetime?.lifetimeMs,
]

function expectedOf(given: readonly Sized[], index: number): unknown {
  const { bytes, mortal, locked } = givenAt(given, index) ?? { bytes: -1 }
  return mortal
    ? [index, undefined, undefined, bytes]
    : [index, bytes, locked ? 'Ä' : '', undefined]
}

t.test('entries of all sizes: who reads from anywhere gets what follows, or is told', t => {
  const property = fc.property(fc.array(sized, { maxLength: 60 }), fc.nat(120), (given, from) => {
    const { feed, costs } = filled(given)
    const behind = [...costs.keys()].filter(index => index > Math.max(from, feed.since))
    const gone = from < feed.since
    const expected = behind.map(index => expectedOf(given, index))
    deepEqual(feed.read(from, 1_000)?.map(shownOf) ?? null, gone ? null : expected)
    deepEqual(feed.read(from, 3)?.map(shownOf) ?? null, gone ? null : expected.slice(0, 3))
    const mortal = behind.filter(index => givenAt(given, index)?.mortal)
    deepEqual(feed.readLifetimes(from)?.map(({ index }) => index) ?? null, gone ? null : mortal)
  })
  fc.assert(property, { numRuns: 200 })
  t.pass('for all of them')
  t.end()
})

t.test('as much is kept, and as much of its end given, as is allowed', t => {
  const entries = fc.array(sized, { maxLength: 60 })
  const property = fc.property(entries, fc.nat(120), fc.nat(500_000), (given, from, max) => {
    const { feed, costs } = filled(given)
    const all = [...costs.keys()]
    const fits = (indexes: readonly number[], most: number) =>
      indexes.reduce((sum, index) => sum + (costs.get(index) ?? 0), 0) <= most
    const left = all.filter(index => index > feed.since)
    deepEqual(fits(left, FEED_BYTES), true)
    if (left.length < all.length) deepEqual(fits(all.slice(-left.length - 1), FEED_BYTES), false)
    const behind = left.filter(index => index > from)
    const { since, pieces } = feed.newest(from, max)
    const told = pieces.flatMap(({ body }) => decodeChanges(body))
    const indexes = told.map(({ index }) => index)
    deepEqual(indexes, behind.slice(behind.length - told.length))
    deepEqual(pieces.at(-1)?.upto, indexes.at(-1))
    deepEqual(fits(indexes, max), true)
    if (told.length === behind.length) deepEqual(since, Math.max(from, feed.since))
    else
      deepEqual(
        fits(
          behind.filter(index => index >= since),
          max,
        ),
        false,
      )
  })
  fc.assert(property, { numRuns: 200 })
  t.pass('for all of them')
  t.end()
})

t.test('those who follow share what was decoded; bytes that were read never change', t => {
  const feed = new ChangeFeed()
  const standing = { createIndex: 1, lockIndex: 0, session: '' }
  const command = set([{ key: text('k'), value: text('first') }])
  feed.addSet(1, command, standing, 'k')
  t.strictSame(feed.read(0, 9), [], 'not before it is published')
  feed.publish(1)
  const [first] = feed.read(0, 9) ?? []
  command.fill(0)
  for (let index = 2; index <= 2_000; index++) {
    const next = set([{ key: text('k'), value: new Uint8Array(100) }])
    feed.addSet(index, next, standing, 'k')
    if (index === 10) feed.publish(index)
    if (index === 10) t.equal(feed.read(0, 1)?.[0], first)
  }
  feed.publish(2_000)
  t.equal(Buffer.from(first?.changes[0]?.value ?? []).toString(), 'first')
  t.end()
})
