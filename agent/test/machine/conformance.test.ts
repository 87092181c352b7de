import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { CHECKS, type Check } from './conformance/checks.ts'
import { crashes } from './conformance/crash.ts'
import { determinism } from './conformance/determinism.ts'
import { drawLog } from './conformance/scenario.ts'
import { Subject } from './conformance/subject.ts'
import { drawSeed } from './entries.ts'

const ALL = [determinism, ...CHECKS, crashes]
const LENGTH = 60

// Many processes, on a machine that may be busy.
t.setTimeout(180_000)

/** The promises that a machine breaks. */
async function broken(
  t: Test,
  file: string,
  { checks, seed }: { readonly checks: readonly Check[]; readonly seed: number },
): Promise<string[]> {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const subject = await Subject.load(path)
  const parent = mkdtempSync(join(tmpdir(), 'conformance-'))
  t.teardown(() => rmSync(parent, { recursive: true, force: true }))
  const promises: string[] = []
  for (const [at, check] of checks.entries()) {
    const directory = join(parent, `${at}`)
    mkdirSync(directory)
    const log = drawLog(subject.data.samples, { seed, length: LENGTH })
    await check.run({ subject, directory, log, seed }).catch((error: Error) => {
      t.comment(`${check.promise}: ${error.message.slice(0, 200)}`)
      promises.push(check.promise)
    })
  }
  return promises
}

for (const [file, checks] of [
  ['examples/1-register/register', CHECKS],
  ['examples/2-counter/counter', ALL],
  ['examples/3-queue/queue', [determinism, ...CHECKS]],
  ['src/machine/sql/sql-machine', [determinism, ...CHECKS]],
  ['src/machine/level/level-machine', [determinism, ...CHECKS, crashes]],
] as const) {
  t.test(`${file} holds the contract`, async t => {
    t.strictSame(await broken(t, `../../${file}.ts`, { checks, seed: drawSeed(t) }), [])
  })
}

t.test('the machine in the documentation holds the contract', async t => {
  const text = readFileSync(new URL('../../docs/state-machine.md', import.meta.url), 'utf8')
  const code = text.split('```js\n')[1]?.split('```')[0] ?? ''
  const file = join(t.testdir({ 'counter.mjs': code }), 'counter.mjs')
  t.strictSame(await broken(t, file, { checks: CHECKS, seed: drawSeed(t) }), [])
})

t.test('a machine that is wrong is found out', async t => {
  const promised = (words: string): Check => {
    const check = ALL.find(({ promise }) => promise.includes(words))
    if (check === undefined) throw new Error(`no check promises ${words}`)
    return check
  }
  for (const [file, words] of [
    ['asks-the-clock', 'different clocks'],
    ['draws-chance', 'different clocks'],
    ['forgets-in-its-snapshot', 'closed and opened'],
    ['forgets-in-its-snapshot', 'a snapshot is fixed'],
    ['keeps-what-it-had', 'a snapshot is fixed'],
    ['changes-before-it-refuses', 'that is refused, and a query'],
    ['changes-when-asked', 'that is refused, and a query'],
    ['shares-its-state', 'where a batch begins'],
  ] as const) {
    t.test(`${file}: ${words}`, async t => {
      const check = promised(words)
      const found = await broken(t, `conformance/wrong/${file}.ts`, { checks: [check], seed: 7 })
      t.strictSame(found, [check.promise])
    })
  }
})
