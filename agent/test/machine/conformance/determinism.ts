/** The same log in two processes that share no clock, no chance and no environment. */

import { strictEqual } from 'node:assert'
import type { Check, Setting } from './checks.ts'
import { runChild } from './child.ts'
import { within } from './subject.ts'

interface Run {
  readonly results: readonly string[]
  readonly whole: string
}

const HERE = { days: 0, env: { TZ: 'UTC', LANG: 'C' } }
const ELSEWHERE = {
  days: 401.3,
  env: { TZ: 'Asia/Kathmandu', LANG: 'tr_TR.UTF-8', NODE_NO_COLORS: '1' },
}

export const determinism: Check = {
  promise: 'two processes with different clocks, chance and environments agree on every result',
  async run(setting) {
    const [one, other] = await Promise.all([runIn(setting, HERE), runIn(setting, ELSEWHERE)])
    for (const [at, result] of one.results.entries()) {
      strictEqual(other.results[at], result, `the results of entry ${at + 1} differ`)
    }
    strictEqual(other.whole, one.whole, 'the results agree, but not the states behind them')
  },
}

async function runIn(
  { subject, seed, log, directory }: Setting,
  { days, env }: typeof HERE,
): Promise<Run> {
  const place = within(directory, `after-${days}-days`)
  const args = [subject.path, `${seed}`, `${log.length}`, place, `${days}`]
  const { output, end } = await runChild('determinism-child.ts', args, env)
  if (end !== 'exit code 0') throw new Error(`the process that applies the log ended: ${end}`)
  return JSON.parse(output) as Run
}
