/** Runs every test: see `USAGE`. */

import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ensureEdgeNginx } from './lib/matrix.ts'
import { oneLine, printable } from './lib/one-line.ts'
import { runStage, type Sandbox, Sandboxes, type StageEnd } from './lib/stage.ts'
import { type TapFailure, TapReader } from './lib/tap-reader.ts'
import { matrixPlan, type TestStage, testPlan } from './lib/test-plan.ts'

const USAGE = `Runs every test: types, style and import floors; unit tests; real processes.

usage: test [--only PATTERN] [--matrix]

  --only PATTERN   stages and test files whose name contains it, such as check, raft/ or cluster.process
  --matrix         the gateway's tests alone, on this machine's nginx and on those of Debian 13 and sid, for
                   which it makes root file systems: needs root, debootstrap, and 250 MB each in /var/tmp

Each assertion counts as one, the stage "check" as one, a file that crashes as a failure.
The last line is "N passed, N failed". Exit status: 0 all passed, 1 something failed or nothing ran.
`

const DIAGNOSTIC_LINES_MAX = 40
/** Of what failed, with the tests around it. */
const NAME_CHARACTERS_MAX = 500
/** What runs at the same time; each has ports of its own. */
const LANES = [0, 1, 2]

interface Total {
  passed: number
  failed: number
  skipped: number
  readonly failures: string[]
}

process.exitCode = await main()

/** @returns the exit code */
async function main(): Promise<number> {
  const options = {
    only: { type: 'string' },
    matrix: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  } as const
  const { only, matrix, help } = parseArgs({ options }).values
  if (help) {
    console.log(USAGE)
    return 0
  }
  const directory = mkdtempSync(join(realpathSync(tmpdir()), 'raft-nginx-test-'))
  const sandboxes = new Sandboxes(directory)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      sandboxes.endAll()
      rmSync(directory, { recursive: true, force: true })
      console.log(`stopped by ${signal}`)
      process.exit(1)
    })
  }
  try {
    const stages = matrix ? matrixPlan(only ?? null) : testPlan(only ?? null)
    const missing = stages.some(({ edge }) => edge) ? ensureEdgeNginx() : null
    if (missing !== null) console.log(`tests of edge reads will be skipped: ${missing}`)
    return await runAll(stages, sandboxes)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Those of which each needs the machine to itself come first; the others wait more than they work: three at a time. */
async function runAll(stages: readonly TestStage[], sandboxes: Sandboxes): Promise<number> {
  const begin = performance.now()
  const total: Total = { passed: 0, failed: 0, skipped: 0, failures: [] }
  const waiting = stages.filter(({ alone }) => !alone)
  for (const stage of stages.filter(({ alone }) => alone))
    await run(stage, sandboxes.next(0), total)
  const lane = async (number: number): Promise<void> => {
    for (let stage = waiting.shift(); stage !== undefined; stage = waiting.shift()) {
      await run(stage, sandboxes.next(number), total)
    }
  }
  await Promise.all(LANES.map(lane))
  if (total.failures.length > 0) console.log(`\nfailed:\n  ${total.failures.join('\n  ')}`)
  const skipped = total.skipped === 0 ? '' : `, ${total.skipped} skipped`
  console.log(`\n${stages.length} stages in ${secondsSince(begin)}${skipped}`)
  if (total.passed + total.failed === 0) console.log('no test ran')
  console.log(`${total.passed} passed, ${total.failed} failed`)
  return total.failed === 0 && total.passed > 0 ? 0 : 1
}

/** Prints what it has to say once it has ended, so that two stages do not mix. */
async function run(stage: TestStage, sandbox: Sandbox, total: Total): Promise<void> {
  const begin = performance.now()
  const lines = [`# ${stage.name}`]
  const say = (line: string) => void lines.push(line)
  if (stage.output === 'whole') await runWhole(stage, sandbox, { total, say })
  else await runTap(stage, sandbox, { total, say })
  console.log([...lines, `  ${secondsSince(begin)}`].join('\n'))
}

interface Report {
  readonly total: Total
  readonly say: (line: string) => void
}

/** One that says nothing but whether it passed: what it printed matters when it failed. */
async function runWhole(stage: TestStage, sandbox: Sandbox, { total, say }: Report): Promise<void> {
  const lines: string[] = []
  const end = await runStage({ ...stage, onLine: line => lines.push(line) }, sandbox)
  if (end.problem === null) total.passed++
  else {
    total.failed++
    total.failures.push(`${stage.name}: ${end.problem}`)
    say([...lines, end.stderr].join('\n'))
  }
  say(`  ${end.problem === null ? 'ok' : `FAILED: ${end.problem}`}`)
}

async function runTap(stage: TestStage, sandbox: Sandbox, { total, say }: Report): Promise<void> {
  let shown = 0
  const reader = new TapReader(({ name, ok, ms, passed, failed }) => {
    const counts = ok ? `${passed}` : `${passed} passed, ${failed} failed`
    const time = ms === null ? '' : `, ${(ms / 1000).toFixed(1)} s`
    say(`  ${ok ? 'ok' : 'FAILED'} ${name} (${counts}${time})`)
    for (const failure of reader.failures.slice(shown)) say(failureText(failure))
    shown = reader.failures.length
  })
  const comments: string[] = []
  const onLine = (line: string) => {
    reader.line(line)
    // what a test has measured
    if (/^ {0,4}# (?!Subtest: |time=|\{|Failed |No coverage)/.test(line)) comments.push(line.trim())
  }
  const end = await runStage({ ...stage, onLine }, sandbox)
  for (const failure of reader.failures.slice(shown)) say(failureText(failure))
  for (const comment of comments) say(`  ${printable(comment)}`)
  const { passed, failed, skipped } = reader.counts
  const crash = crashOf(end, passed + skipped, failed)
  total.passed += passed
  total.failed += failed + (crash === null ? 0 : 1)
  total.skipped += skipped
  total.failures.push(...reader.failures.map(({ path }) => `${stage.name}: ${nameOf(path)}`))
  if (end.leftovers > 0) say(`  ended ${end.leftovers} processes that were left running`)
  if (crash === null) return
  total.failures.push(`${stage.name}: ${crash}`)
  say(`  FAILED: ${crash}\n${end.stderr}`)
}

/** A file that fails without a failing test has crashed; one without any test has proved nothing. */
function crashOf({ problem }: StageEnd, fine: number, failed: number): string | null {
  if (problem !== null && failed === 0) return problem
  return fine + failed === 0 ? 'no test ran' : null
}

function failureText({ path, diagnostics }: TapFailure): string {
  const shown = diagnostics.slice(0, DIAGNOSTIC_LINES_MAX)
  return [`  not ok: ${nameOf(path)}`, ...shown.map(line => `    ${printable(line)}`)].join('\n')
}

function nameOf(path: TapFailure['path']): string {
  return oneLine(path.join(' > '), NAME_CHARACTERS_MAX)
}

function secondsSince(begin: number): string {
  return `${((performance.now() - begin) / 1000).toFixed(1)} s`
}
