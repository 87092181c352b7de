/** agent/docs/attacks.md says which test sends which attack: that those tests are there. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const at = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url))
const ROWS = 46
const CASES = ['others', 'hostile'].map(file => `agent/test/http/client-cases/${file}.ts`)
const SHORT: Readonly<Record<string, readonly string[]>> = {
  A: ['agent/test/http/attacks.test.ts'],
  G: ['njs/test/gateway/attacks.ts'],
  C: CASES,
}
/** `file`:`title`, or a letter in place of the file. */
const TEST = /(?:`([\w./-]+)`|\b([AGC])):`([^`]+|[^`]*\$\{\w+\}[^`]*)`/g

function sources(file: string | undefined, letter: string | undefined): readonly string[] {
  if (letter !== undefined) return SHORT[letter] ?? []
  return [`agent/test/${file}`, `njs/test/${file}`].filter(path => existsSync(at(path)))
}

const text = readFileSync(at('agent/docs/attacks.md'), 'utf8')
const rows = text.split('\n').flatMap(line => {
  const [, number, , , agent, gateway] = line.split(' | ').length < 5 ? [] : line.split('|')
  return number !== undefined && /^ [0-9]+ $/.test(number) ? [{ number, agent, gateway }] : []
})

t.test('every row of the table names tests, and they are there', async t => {
  t.strictSame(
    rows.map(({ number }) => Number(number)),
    Array.from({ length: ROWS }, (_, index) => index + 1),
  )
  for (const { number, agent = '', gateway = '' } of rows) {
    const named = [...agent.matchAll(TEST)]
    t.ok(named.length > 0, `row${number}has a test at the agent`)
    t.ok(gateway.trim().length > 0, `row${number}says what tries it through nginx`)
    for (const [whole, file, letter, title = ''] of [...named, ...gateway.matchAll(TEST)]) {
      const found = sources(file, letter).some(path =>
        readFileSync(at(path), 'utf8').includes(title),
      )
      t.ok(found, `row${number}: ${whole}`)
    }
  }
})

t.test('a title that is nowhere is found out', async t => {
  const [[, file, letter, title = ''] = []] = [...'A:`no such row`'.matchAll(TEST)]
  t.equal(title, 'no such row')
  t.notOk(sources(file, letter).some(path => readFileSync(at(path), 'utf8').includes(title)))
  t.strictSame(sources('http/nowhere.test.ts', undefined), [])
})
