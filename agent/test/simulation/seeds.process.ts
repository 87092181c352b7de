/** Two thousand seeds, some of them the same in every run, and every state that matters. */

import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { runChild } from '../child.ts'
import { STATES } from './coverage.ts'
import { killMutants } from './mutation.ts'

const RUN = join(import.meta.dirname, 'run.ts')
/** In processes of their own, two at a time. */
const PART = 500
const FIXED_PARTS = 1
const DRAWN_PARTS = 3
const WORKERS = 2

interface Report {
  readonly events: number
  readonly violations: number
  readonly reached: Readonly<Record<string, number>>
}

/** Other seeds for every commit, the same ones for everybody who tests it. */
function drawnFirst(): number {
  try {
    const hash = execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' })
    return PART * FIXED_PARTS + Number.parseInt(hash.slice(0, 7), 16)
  } catch {
    return PART * FIXED_PARTS
  }
}

t.setTimeout(600_000)

t.test('every promise is kept on 2,000 seeds, and every state that matters is reached', async t => {
  const drawn = drawnFirst()
  t.comment(`seeds 0 to ${PART * FIXED_PARTS - 1}`)
  t.comment(`seeds ${drawn} to ${drawn + PART * DRAWN_PARTS - 1}`)
  const firsts = Array.from({ length: FIXED_PARTS + DRAWN_PARTS }, (_, at) =>
    at < FIXED_PARTS ? at * PART : drawn + (at - FIXED_PARTS) * PART,
  )
  const reports: Report[] = []
  const work = async (): Promise<void> => {
    for (let first = firsts.shift(); first !== undefined; first = firsts.shift()) {
      const { code, output } = await runChild([
        ...[RUN, '--seed', `${first}`, '--seeds', `${PART}`, '--json'],
      ])
      t.equal(code, 0, `seeds from ${first}`)
      const lines = output.trimEnd().split('\n')
      for (const line of lines.slice(1, -1)) t.comment(line)
      reports.push(JSON.parse(lines.at(-1) ?? '{}') as Report)
    }
  }
  await Promise.all(Array.from({ length: WORKERS }, work))
  t.comment(`${reports.reduce((sum, { events }) => sum + events, 0)} events`)
  t.strictSame(
    STATES.filter(state => reports.every(({ reached }) => (reached[state] ?? 0) === 0)),
    [],
    'states never reached',
  )
})

t.test('every changed line of the core is noticed', async t => {
  const unnoticed = await killMutants(null, line =>
    t.match(line, /^(M\d+ killed|\d+ mutants)/, line),
  )
  t.equal(unnoticed, 0)
})
