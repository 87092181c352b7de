/**
 * Run by kv-restore.test.ts: `kv-restore-child.ts <database> <snapshot> <step>`. Restores the snapshot
 * over a machine that has applied more than its checkpoint, and dies at the step.
 */
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { entry, NONE } from './entries.ts'
import { crashCommand } from './kv-crash-command.ts'
import { RECEIVER } from './kv-restore-parts.ts'

const [file, snapshot, step] = process.argv.slice(2)
if (file === undefined || snapshot === undefined) throw new Error('usage: <file> <snapshot> <step>')

const die = (at: string) => {
  if (at === step) process.kill(process.pid, 'SIGKILL')
}
const machine = new KvMachine({ file, onRestore: die })
await machine.open(RECEIVER)
const write = async (first: number, last: number) => {
  for (let index = first; index <= last; index++) {
    await machine.apply([entry(index, 1, crashCommand(index))], NONE)
  }
}
await write(1, 200)
await machine.checkpoint()
await write(201, 260)
await machine.inspect(snapshot)
die('inspected')
await machine.restore(snapshot)
die('restored')
