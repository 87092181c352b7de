/**
 * The process that kv-crash.test.ts kills: `kv-crash-child.ts <file> <seed>`. Applies batches without
 * end, prints how far it is after some of them, and checkpoints now and then.
 */
import { writeSync } from 'node:fs'
import { Prng } from '../../src/lib/prng.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { entry, IDENTITY, NONE } from './entries.ts'
import { crashCommand } from './kv-crash-command.ts'

const [file, seed] = process.argv.slice(2)
if (file === undefined || seed === undefined) throw new Error('usage: <file> <seed>')

const prng = new Prng(Number(seed))
const machine = new KvMachine({ file })
let { index } = (await machine.open(IDENTITY)) as { index: number }
for (;;) {
  const batch = Array.from({ length: prng.between(1, 20) }, () => {
    index += 1
    return entry(index, 1, crashCommand(index))
  })
  if (prng.between(0, 8) === 0) void machine.checkpoint()
  await machine.apply(batch, NONE)
  if (prng.between(0, 3) === 0) writeSync(1, `${index}\n`)
  await new Promise(setImmediate)
}
