/** Killed between any two steps, and during some. */

import { ok, strictEqual } from 'node:assert'
import { type Check, catchUp, expectation, type Setting } from './checks.ts'
import { runChild } from './child.ts'
import { wholeOf } from './scenario.ts'
import { identityOf, within } from './subject.ts'

const STEPS = 13
const AT_ONCE = 2

export const crashes: Check = {
  promise: 'killed between any two steps, it comes back with a prefix and goes on from there',
  async run(setting) {
    const expected = await expectation(setting)
    const rounds = Array.from({ length: STEPS + 1 }, (_, steps) => steps)
    const worker = async () => {
      for (let steps = rounds.shift(); steps !== undefined; steps = rounds.shift()) {
        await crashAfter(setting, steps, expected)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  },
}

async function crashAfter(setting: Setting, steps: number, expected: string): Promise<void> {
  const { subject, directory, seed, log } = setting
  const place = within(directory, `crash-${steps}`)
  const args = [subject.path, place, `${seed}`, `${log.length}`, `${steps}`]
  const { output, end } = await runChild('crash-child.ts', args)
  strictEqual(end, 'SIGKILL', `how the process ended, after ${steps} steps`)
  const durable = Number(output.trim().split('\n').at(-1) ?? 0)
  const instance = subject.create(place)
  const { index } = await instance.machine.open(identityOf('crashing'))
  const least = `found ${index} after ${steps} steps, but ${durable} was said to be durable`
  ok(index >= durable, least)
  await catchUp(instance, log, index)
  strictEqual(
    await wholeOf(instance),
    expected,
    `after ${steps} steps, a kill, and the rest of the log`,
  )
  await instance.machine.close()
}
