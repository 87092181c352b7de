/**
 * Works on a machine until it kills itself: `crash-child.ts <module> <directory> <seed> <length> <steps>`.
 * After each step it prints what power loss could not take back, as the machine says.
 */

import { writeSync } from 'node:fs'
import { Prng } from '../../../src/lib/prng.ts'
import { configurationAt, drawLog } from './scenario.ts'
import { identityOf, Subject, within } from './subject.ts'

const [path = '', directory = '', seed = '', length = '', steps = ''] = process.argv.slice(2)
const subject = await Subject.load(path)
const log = drawLog(subject.data.samples, { seed: Number(seed), length: Number(length) })
const { machine } = subject.create(directory)
const prng = new Prng(Number(seed))
let { index } = await machine.open(identityOf('crashing'))
let snapshots = 0

const STEPS = [
  apply,
  apply,
  checkpoint,
  apply,
  beginCheckpoint,
  apply,
  storeSnapshot,
  apply,
  restoreSnapshot,
  apply,
  beginCheckpoint,
] as const

for (let step = 0; step < Number(steps); step++) {
  await STEPS[step % STEPS.length]?.()
  writeSync(1, `${machine.durablePosition().index}\n`)
}
process.kill(process.pid, 'SIGKILL')

async function apply(): Promise<void> {
  const batch = log.slice(index, index + prng.between(1, 5))
  if (batch.length === 0) return
  await machine.apply(batch, configurationAt(batch))
  index = machine.applied().index
}

async function checkpoint(): Promise<void> {
  await machine.checkpoint()
}

/** Killed while it runs, as a rule. */
function beginCheckpoint(): void {
  void machine.checkpoint()
}

async function storeSnapshot(): Promise<void> {
  const view = await machine.snapshot()
  await view.writeTo(within(directory, `snapshot-${++snapshots}`))
  view.release()
}

/** Back to the newest snapshot; the log gives what came after it again. */
async function restoreSnapshot(): Promise<void> {
  const file = within(directory, `snapshot-${snapshots}`)
  await machine.inspect(file)
  index = (await machine.restore(file)).index
}
