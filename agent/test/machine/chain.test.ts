import fc from 'fast-check'
import t from 'tap'
import { Chain } from '../../src/machine/chain.ts'
import type { Result } from '../../src/machine/state-machine.ts'
import { drawSeed, entry } from './entries.ts'

const DONE: Result = { kind: 'done', value: null }
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

t.test('before the first entry it is zeros, and after it never again', async t => {
  const chain = new Chain()
  t.equal(hex(chain.hash()), '00'.repeat(32))
  chain.add(entry(1, 1, null), DONE)
  t.not(hex(chain.hash()), '00'.repeat(32))
})

t.test('each part of an entry and its result counts', async t => {
  const bytes = (...values: number[]) => Uint8Array.from(values)
  const variants: [Parameters<typeof entry>, Result][] = [
    [[1, 1, null], DONE],
    [[2, 1, null], DONE],
    [[1, 2, null], DONE],
    [[1, 1, bytes()], DONE],
    [[1, 1, bytes(65)], DONE],
    [[1, 1, null], { kind: 'done', value: bytes() }],
    [[1, 1, null], { kind: 'done', value: bytes(65) }],
    [[1, 1, null], { kind: 'rejected', code: '' }],
    [[1, 1, null], { kind: 'rejected', code: 'A' }],
  ]
  const hashes = variants.map(([parts, result]) => {
    const chain = new Chain()
    chain.add(entry(...parts), result)
    return hex(chain.hash())
  })
  t.equal(new Set(hashes).size, variants.length)
})

/** Small ones that share a block, and some that fill one alone. */
const command = fc.option(
  fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ minLength: 4000, maxLength: 9000 })),
)
const result: fc.Arbitrary<Result> = fc.oneof(
  fc.constant(DONE),
  fc.uint8Array({ maxLength: 50 }).map(value => ({ kind: 'done', value }) as const),
  fc.constantFrom('NO_SUCH_KEY', 'KEY_REUSED').map(code => ({ kind: 'rejected', code }) as const),
)
const additions = fc.array(fc.tuple(command, result), { maxLength: 80 })

t.test('it goes on from its bytes as if nothing had happened', async t => {
  const property = fc.property(additions, fc.nat(80), (all, at) => {
    const [whole, first] = [new Chain(), new Chain()]
    const add = (chain: Chain, from: number, to: number) => {
      for (let i = from; i < Math.min(to, all.length); i++) {
        const [command, result] = all[i] as (typeof all)[number]
        chain.add(entry(i + 1, 1, command), result)
      }
    }
    add(whole, 0, all.length)
    add(first, 0, at)
    const second = new Chain(first.bytes().slice())
    add(second, at, all.length)
    return hex(whole.hash()) === hex(second.hash()) && hex(whole.bytes()) === hex(second.bytes())
  })
  fc.assert(property, { numRuns: 200, seed: drawSeed(t) })
})

t.test('back at a mark, what was added since has left no trace', async t => {
  const property = fc.property(additions, additions, additions, (before, undone, after) => {
    const [plain, marked] = [new Chain(), new Chain()]
    let index = 0
    const add = (chain: Chain, all: typeof before) => {
      for (const [command, result] of all) chain.add(entry(++index, 1, command), result)
    }
    add(plain, [...before, ...after])
    index = 0
    add(marked, before)
    const mark = marked.mark()
    add(marked, undone)
    marked.returnTo(mark)
    index = before.length
    add(marked, after)
    return hex(plain.hash()) === hex(marked.hash())
  })
  fc.assert(property, { numRuns: 200, seed: drawSeed(t) })
})

t.test('its bytes stay few, however many entries there were', async t => {
  const chain = new Chain()
  let longest = 0
  for (let index = 1; index <= 2000; index++) {
    chain.add(entry(index, 1, Buffer.alloc(index % 7 === 0 ? 5000 : 90, index)), DONE)
    longest = Math.max(longest, chain.bytes().length)
  }
  t.ok(longest < 4096, `${longest}`)
})

t.test('bytes that are too few are refused', async t => {
  t.throws(() => new Chain(new Uint8Array(31)), RangeError)
})
