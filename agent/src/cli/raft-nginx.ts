#!/usr/bin/env node
/** The command line: see `raft-nginx --help`. */
import { readFileSync } from 'node:fs'
import { runProgram } from './program.ts'

const { version } = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
) as { version: string }

process.exitCode = await runProgram(
  process.argv.slice(2),
  {
    env: process.env,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    interrupt() {
      const interrupt = new AbortController()
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
        process.on(signal, () => interrupt.abort())
      }
      return interrupt.signal
    },
  },
  {
    version,
    startAgent: async args => {
      process.argv.splice(2, process.argv.length, ...args)
      await import('../main.ts')
    },
  },
)
