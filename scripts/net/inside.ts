/** The same command once more, where what it makes of mounts, networks and processes is gone with it. */

import { spawn } from 'node:child_process'
import { childrenOf } from '../lib/processes.ts'
import { run } from './tools.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const MOUNTS = ['--mount', '--propagation', 'private']
/** Whatever becomes of its first process, the others end with it, and so does what they held. */
const MACHINE = [...MOUNTS, '--net', '--pid', '--fork', '--kill-child', '--mount-proc']
/** Set where it has happened. */
const INSIDE = 'FAULTS_INSIDE'

export type Enclosure = 'mounts' | 'machine'

/** Whether this process runs in one. */
export function isInside(): boolean {
  return process.env[INSIDE] !== undefined
}

/** Why there can be none: null where there can. */
export async function whyNoMachine(): Promise<string | null> {
  try {
    // Without `ip` not even the loopback interface would be there.
    await run('unshare', [...MACHINE, 'ip', 'link', 'set', 'lo', 'up'])
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** @param kind its own mounts; or, as a machine has, its own network and processes as well @returns its exit code */
export function inside(kind: Enclosure, command: readonly string[]): Promise<number> {
  const options = kind === 'mounts' ? MOUNTS : MACHINE
  const child = spawn('unshare', [...options, ...command], {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: kind },
  })
  // Ctrl-C reaches all of them; this one waits for the other. `unshare --fork` does not pass signals on.
  for (const signal of SIGNALS) process.on(signal, () => pass(child.pid, signal))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      if (signal !== null) reject(new Error(`ended by ${signal}`))
      else resolve(code ?? 1)
    })
  })
}

function pass(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  const [first = pid] = childrenOf(pid)
  try {
    process.kill(first, signal)
  } catch {
    // it has ended meanwhile
  }
}
