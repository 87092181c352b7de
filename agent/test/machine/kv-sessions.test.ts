import { createHash } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { encodeCommand } from '../../src/machine/kv/command.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { SESSION_LIFETIME_MS } from '../../src/machine/sqlite/sessions.ts'
import type { CommittedEntry, Result } from '../../src/machine/state-machine.ts'
import { drawSeed, entry, IDENTITY, NONE } from './entries.ts'

const text = (value: string) => Buffer.from(value)
const set = (key: string, value: string) =>
  encodeCommand({ kind: 'set', pairs: [{ key: text(key), value: text(value) }] })
const DONE: Result = { kind: 'done', value: null }
const REUSED: Result = { kind: 'rejected', code: 'KEY_REUSED' }

interface Request {
  readonly key: string | null
  readonly command: Uint8Array
  readonly timeMs?: number
}

function entryOf(index: number, { key, command, timeMs = 1_000 }: Request): CommittedEntry {
  const requestHash = createHash('sha256').update(command).digest()
  return {
    ...entry(index, 1, command),
    timeMs,
    idempotency: key === null ? null : { key, requestHash },
  }
}

async function machineWith(...requests: readonly Request[]) {
  const machine = new KvMachine({ file: null })
  await machine.open(IDENTITY)
  const results = await machine.apply(
    requests.map((request, at) => entryOf(at + 1, request)),
    NONE,
  )
  const read = (key: string) => {
    const { row } = machine.query({ kind: 'get', key: text(key) })
    return row === null ? null : { value: Buffer.from(row.value).toString(), at: row.modifyIndex }
  }
  return { machine, results, read }
}

t.test('a request that comes again gets the first answer, and has no second effect', async t => {
  const first = { key: 'r1', command: set('a', '1') }
  const { results, read } = await machineWith(first, { key: null, command: set('a', '2') }, first)
  t.strictSame(results, [DONE, DONE, DONE])
  t.strictSame(read('a'), { value: '2', at: 2 }, 'the later write of another client stays')
})

t.test('the same key with another request is refused, and nothing happens', async t => {
  const { results, read } = await machineWith(
    { key: 'r1', command: set('a', '1') },
    { key: 'r1', command: set('a', '2') },
  )
  t.strictSame(results, [DONE, REUSED])
  t.strictSame(read('a'), { value: '1', at: 1 })
})

t.test('a refusal is remembered like any other answer', async t => {
  const refused = { key: 'r1', command: Uint8Array.of(255) }
  const { results } = await machineWith(refused, refused)
  t.strictSame(results[0], { kind: 'rejected', code: 'UNDECODABLE' })
  t.strictSame(results[1], results[0])
})

t.test(
  'a key is forgotten after its lifetime by the time of the log, which never falls',
  async t => {
    const at = (timeMs: number, value: string) => ({ key: 'r1', command: set('a', value), timeMs })
    const { results } = await machineWith(
      at(5_000, '1'),
      // A leader with a clock far behind: the log's time stays.
      { key: 'r2', command: set('b', '1'), timeMs: 0 },
      at(4_999 + SESSION_LIFETIME_MS, '2'),
      at(5_000 + SESSION_LIFETIME_MS, '3'),
      at(1, '3'),
    )
    t.strictSame(results, [DONE, DONE, REUSED, DONE, DONE])
  },
)

t.test('where batches begin and end does not matter, not to what is forgotten either', async t => {
  const seed = drawSeed(t)
  const request: fc.Arbitrary<Request> = fc.record({
    key: fc.constantFrom(null, 'r1', 'r2', 'r3', 'r4'),
    command: fc.constantFrom(set('a', '1'), set('a', '2'), set('b', '1')),
    timeMs: fc.integer({ min: 0, max: 3 }).map(days => days * (SESSION_LIFETIME_MS / 2)),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(request, { maxLength: 30 }), fc.nat(5), async (requests, size) => {
      const whole = await machineWith(...requests)
      const parts = await machineWith()
      const results: (Result | null)[] = []
      for (let from = 0; from < requests.length; from += size + 1) {
        const batch = requests.slice(from, from + size + 1)
        const entries = batch.map((each, at) => entryOf(from + at + 1, each))
        results.push(...(await parts.machine.apply(entries, NONE)))
      }
      t.strictSame(results, whole.results)
      for (const key of ['a', 'b']) t.strictSame(parts.read(key), whole.read(key))
      await whole.machine.close()
      await parts.machine.close()
    }),
    { seed, numRuns: 60 },
  )
})
