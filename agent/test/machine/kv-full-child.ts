/**
 * Run by kv-crash.test.ts under a limit on the size of files: `kv-full-child.ts <file>`. Applies entries
 * until one fails, then prints what is left of it.
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
  try {
    await machine.apply(batch, NONE)
    index += batch.length
  } catch (error) {
    failure = error
  }
}
const { applied, row } = machine.query({ kind: 'get', key: text('counter') })
const counter = Buffer.from(row?.value ?? []).toString()
writeSync(1, JSON.stringify({ failure: String(failure), index, applied: applied.index, counter }))
process.kill(process.pid, 'SIGKILL')
