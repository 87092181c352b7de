/**
 * Run by kv-crash.test.ts under a limit on the size of files: `kv-full-child.ts <file>`. Applies entries
 * until one fails, then prints how many those before it were.
 */
import { writeSync } from 'node:fs'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { entry, IDENTITY, NONE } from './entries.ts'
import { crashCommand } from './kv-crash-command.ts'

const [file] = process.argv.slice(2)
if (file === undefined) throw new Error('usage: <file>')

const machine = new KvMachine({ file })
await machine.open(IDENTITY)
let index = 0
let failure: unknown = null
while (failure === null) {
  const batch = Array.from({ length: 10 }, (_, at) =>
    entry(index + at + 1, 1, crashCommand(index + at + 1)),
  )
  try {
    await machine.apply(batch, NONE)
    index += batch.length
  } catch (error) {
    failure = error
  }
}
writeSync(1, JSON.stringify({ failure: String(failure), index }))
process.kill(process.pid, 'SIGKILL')
