/** The contract of state machines, for a machine of anybody's: see `USAGE`. */

import { randomInt } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { CHECKS, type Check } from './checks.ts'
import { crashes } from './crash.ts'
import { determinism } from './determinism.ts'
import { drawLog } from './scenario.ts'
import { Subject, within } from './subject.ts'

const USAGE = `Tests whether a state machine holds what the cluster relies on; each failed promise is explained.

usage: npm run test-machine -- MODULE [--seed S] [--length N]

  MODULE       .js or .ts that exports createMachine, and samples: commands of every kind as Uint8Array[]
               (a machine with files of its own also exports queries, which show its state)
  --seed S     repeats a run; without it, one is drawn and printed
  --length N   entries of the log that is drawn from the samples (default 80)

Exit status: 0 everything holds, 1 something does not, 2 bad usage.
`

process.exitCode = await main(process.argv.slice(2))

/** @returns the exit code */
async function main(args: readonly string[]): Promise<number> {
  const wanted = parse(args)
  if (wanted === null) {
    process.stderr.write(USAGE)
    return 2
  }
  const { path, seed, length } = wanted
  const directory = mkdtempSync(within(tmpdir(), 'test-machine-'))
  try {
    const subject = await Subject.load(path)
    say(`${path}, seed ${seed}`)
    let failed = 0
    for (const [at, check] of [determinism, ...CHECKS, crashes].entries()) {
      const own = within(directory, `${at}`)
      mkdirSync(own)
      const log = drawLog(subject.data.samples, { seed, length })
      if (!(await holds(check, { subject, directory: own, log, seed }))) failed += 1
    }
    say(failed === 0 ? 'the contract holds' : `${failed} promises do not hold`)
    return failed === 0 ? 0 : 1
  } catch (error) {
    say(messageOf(error))
    return 1
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

async function holds(check: Check, setting: Parameters<Check['run']>[0]): Promise<boolean> {
  try {
    const how = await check.run(setting)
    say(`${how === 'left out' ? '-      ' : 'ok     '} ${check.promise}`)
    return true
  } catch (error) {
    say(`FAILED  ${check.promise}\n        ${messageOf(error).replaceAll('\n', '\n        ')}`)
    return false
  }
}

function parse(args: readonly string[]) {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { seed: { type: 'string' }, length: { type: 'string', default: '80' } },
    })
    const [path] = positionals
    const seed = Number(values.seed ?? randomInt(2 ** 31))
    const length = Number(values.length)
    const whole = Number.isSafeInteger(seed) && Number.isSafeInteger(length) && length > 0
    if (path === undefined || positionals.length > 1 || !whole) return null
    return { path: resolve(path), seed, length }
  } catch {
    return null
  }
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}: ${messageOf(error.cause)}`
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
