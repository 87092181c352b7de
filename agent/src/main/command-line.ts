import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type Config, readConfig } from '../config.ts'
import { crashAt, parsePlannedCrash, type Reach } from '../node/fault-points.ts'
import { messageOf } from './fatal.ts'

const USAGE = `The agent of one raft-nginx node: Raft, its log, and the state machine.

usage: node agent/dist/main.js --config FILE [--inmem]

  --config FILE   JSON; every setting can be overridden by RAFT_NGINX_<SETTING> in the environment
  --inmem         keep log and data in memory; the loss of a majority at once loses the data
  --version
  --help

For tests: RAFT_NGINX_FAIL=POINT:kill@N in the environment ends the agent, as kill -9 does, when it reaches that
point for the Nth time, such as persist:after:kill@5.

Logs JSON lines on stdout. SIGTERM and SIGINT stop it cleanly.
Exit status: 0 stopped, 1 failed while starting or running, 2 bad usage or configuration.
`

/** Of the package. */
export const { version } = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
) as { version: string }

/** Of this process; ends it, in words, when it was asked for something else, or wrongly. */
export function configuration(): Config {
  const usage = (problem: string): never => {
    process.stderr.write(`${problem}\n\n${USAGE}`)
    process.exit(2)
  }
  const { config: file, inmem, version: wantsVersion, help } = commandLine(usage)
  if (help || wantsVersion) {
    process.stdout.write(help ? USAGE : `${version}\n`)
    process.exit(0)
  }
  if (file === undefined) return usage('--config FILE is missing')
  const overrides = inmem ? { in_memory: true } : {}
  const result = readConfig({ file, env: process.env, overrides })
  if (result.kind === 'config') return result.config
  process.stderr.write(`${result.faults.join('\n')}\n`)
  return process.exit(2)
}

/** Nobody sets it but a test; what is wrong there must not pass for a test that found nothing. */
export function plannedCrash(): Reach {
  const { RAFT_NGINX_FAIL: text } = process.env
  if (text === undefined) return () => {}
  const planned = parsePlannedCrash(text)
  if (planned === null) {
    process.stderr.write(`RAFT_NGINX_FAIL: must be POINT:kill@N, not ${text}\n`)
    return process.exit(2)
  }
  return crashAt(planned, () => process.kill(process.pid, 'SIGKILL'))
}

function commandLine(usage: (problem: string) => never) {
  try {
    return parseArgs({
      options: {
        config: { type: 'string' },
        inmem: { type: 'boolean', default: false },
        version: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values
  } catch (error) {
    return usage(messageOf(error))
  }
}
