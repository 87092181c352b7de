/** Runs a flight log through the core again: see `USAGE`. */

import { readFileSync } from 'node:fs'
import { decodeFlightLog, type FlightLog } from '../agent/src/node/recording-file.ts'
import { Raft } from '../agent/src/raft/raft.ts'

const USAGE = `Runs the core through the inputs of a flight log, which an agent writes when it stops on a failed assertion.

usage: npm run replay -- FILE [--verbose]

  --verbose   print every input and what the core asks for

Exit status: 0 the same error came again, 1 it did not, 2 bad usage.
`

process.exitCode = main(process.argv.slice(2))

function main(args: readonly string[]): number {
  const verbose = args.includes('--verbose')
  const [file, ...more] = args.filter(arg => arg !== '--verbose')
  if (file === undefined || file.startsWith('-') || more.length > 0) {
    console.error(USAGE)
    return 2
  }
  return replay(decodeFlightLog(readFileSync(file, 'utf8')), verbose)
}

function replay({ image, inputs, error, version }: FlightLog, verbose: boolean): number {
  console.log(`${inputs.length} inputs, of version ${version}; it ended with: ${error}`)
  const raft = new Raft(image.options, image)
  for (const [at, input] of inputs.entries()) {
    try {
      const effects = raft.step(input)
      if (verbose) console.log(`${at + 1} ${JSON.stringify(input)}\n    ${JSON.stringify(effects)}`)
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause)
      console.log(`input ${at + 1}, ${JSON.stringify(input)}\nfails with: ${message}`)
      return message === error ? 0 : 1
    }
  }
  const { role, term, commit } = raft.state
  console.log(`no step fails: ${role.kind} in term ${term}, commit ${commit}`)
  return 1
}
