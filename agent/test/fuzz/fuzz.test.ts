import { readFileSync } from 'node:fs'
import t from 'tap'
import { Chance } from '../simulation/chance.ts'
import { FuzzFailure, fuzz, takeOne } from './campaign.ts'
import { Mutator } from './mutator.ts'
import { allTargets } from './targets.ts'

/** The short form of `npm run fuzz`. */
const CASES = 12_000

const { SEED } = process.env
const seed = Number(SEED ?? Date.now() % 2 ** 31)
t.comment(`SEED=${seed}`)
t.setTimeout(120_000)

t.test('nothing from outside is taken badly', async t => {
  const all = await allTargets(seed)
  for (const { target, share } of all) {
    const { close } = target
    if (close !== undefined) t.teardown(close)
    const cases = Math.ceil(CASES * share)
    await t.resolves(fuzz({ target, cases, seed }), `${target.name}: ${cases} cases`)
  }
})

interface Found {
  readonly target: string
  readonly why: string
  readonly base64: string
}

t.test('what was taken badly once is not again', async t => {
  const file = new URL('found.json', import.meta.url)
  const found = JSON.parse(readFileSync(file, 'utf8')) as readonly Found[]
  const all = await allTargets(1)
  for (const { target } of all) if (target.close !== undefined) t.teardown(target.close)
  for (const { target: name, why, base64 } of found) {
    const entry = all.find(({ target }) => target.name === name)
    if (entry === undefined) throw new Error(`there is no ${name}`)
    await t.resolves(takeOne(entry.target, Buffer.from(base64, 'base64')), `${name}: ${why}`)
  }
})

t.test('a fault is found, and told with the case that shows it', async t => {
  const seeds = [Buffer.from('{"a":[1,2,3]}')]
  const take = (bytes: Uint8Array) => {
    if (Buffer.from(bytes).includes('[[')) throw new Error('two brackets')
  }
  const planted = { name: 'planted', seeds, take, width: 1 }
  const failure = await fuzz({ target: planted, cases: 20_000, seed }).catch(error => error)
  t.type(failure, FuzzFailure)
  t.match(failure.message, 'planted: two brackets\n  {"target":"planted","base64":"')
})

t.test('one seed gives one sequence of cases', async t => {
  const draw = (from: number) => {
    const mutator = new Mutator(new Chance(from, 'x'), [Buffer.from('abc def'), Buffer.from('12')])
    return Array.from({ length: 50 }, () => Buffer.from(mutator.next()).toString('hex'))
  }
  t.strictSame(draw(seed), draw(seed))
  t.notSame(draw(1), draw(2))
})
