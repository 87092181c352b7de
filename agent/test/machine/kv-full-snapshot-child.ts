/**
 * Run by kv-crash.test.ts under a limit on the size of files: `kv-full-snapshot-child.ts <file>`. Takes a
 * snapshot after every batch until one fails, then prints whether the machine is still read.
 */
import { writeSync } from 'node:fs'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { entry, IDENTITY, NONE } from './entries.ts'
import { crashCommand } from './kv-crash-command.ts'
import { text } from './kv-subject.ts'

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
  await machine.apply(batch, NONE)
  index += batch.length
  try {
    const view = await machine.snapshot()
    view.release()
  } catch (error) {
    failure = error
  }
}
writeSync(1, JSON.stringify({ failure: String(failure), index, read: read() }))
process.kill(process.pid, 'SIGKILL')

/** How far what is read is; null when nothing can be read. */
function read(): number | null {
  try {
    return machine.query({ kind: 'get', key: text('counter') }).applied.index
  } catch {
    return null
  }
}
