/**
 * Applies a log entry by entry and prints what came of it: `determinism-child.ts <module> <seed> <length>
 * <directory> <days>`. The clock is shifted by so many days, and chance begins elsewhere.
 */

import { Prng } from '../../../src/lib/prng.ts'
import { applyAll, batchesOf, drawLog, wholeOf } from './scenario.ts'
import { identityOf, Subject } from './subject.ts'

const DAY_MS = 86_400_000

const [path = '', seed = '', length = '', directory = '', days = ''] = process.argv.slice(2)
shiftClock(Number(days) * DAY_MS)
const chance = new Prng(Number(days))
Object.defineProperty(Math, 'random', { value: () => chance.next() / 2 ** 32 })

const subject = await Subject.load(path)
const log = drawLog(subject.data.samples, { seed: Number(seed), length: Number(length) })
const instance = subject.create(directory)
await instance.machine.open(identityOf('same'))
const results = await applyAll(instance, batchesOf(log, new Prng(0), 1))
const whole = await wholeOf(instance)
await instance.machine.close()
process.stdout.write(JSON.stringify({ results, whole }))

/** `Date.now()` and `new Date()` both; dates that are given stay what they are. */
function shiftClock(ms: number): void {
  const RealDate = Date
  class ShiftedDate extends RealDate {
    constructor(...given: [] | [number | string | Date]) {
      if (given.length === 0) super(RealDate.now() + ms)
      else super(...given)
    }
    static override now(): number {
      return RealDate.now() + ms
    }
  }
  globalThis.Date = ShiftedDate as DateConstructor
}
