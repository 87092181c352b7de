/** Run by restore.test.ts: `restore-child.ts <backup> <config> <step>`. Restores, and dies at the step. */
import { restore } from '../../src/backup/restore.ts'
import { configOf } from './parts.ts'

const [file, config, step] = process.argv.slice(2)
if (file === undefined || config === undefined) throw new Error('usage: <file> <config> <step>')
await restore({
  file,
  config: configOf(config),
  skipIndexes: 10,
  at: at => {
    if (at === step) process.kill(process.pid, 'SIGKILL')
  },
})
