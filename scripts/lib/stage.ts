/** One part of the tests: a command, what it printed, how it ended, and what it left running. */

import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT } from './layout.ts'
import { environmentOf, processesUsing, processIds } from './processes.ts'

export interface StageCommand {
  readonly program: string
  readonly args: readonly string[]
  readonly timeoutMs: number
  readonly env?: Readonly<Record<string, string>>
  /** given each line of stdout */
  readonly onLine: (line: string) => void
}

export interface StageEnd {
  /** null when it ended by itself with 0; else how it ended */
  readonly problem: string | null
  readonly stderr: string
  /** processes that it left running; ended now */
  readonly leftovers: number
}

/** What belongs to one stage. */
export interface Sandbox {
  /** its temporary directory */
  readonly directory: string
  /** of the environment of all that it starts; nginx overwrites its own, so the directory is looked for too */
  readonly marker: string
  /** of those that run at the same time, from 0 */
  readonly lane: number
}

export class Sandboxes {
  readonly #directory: string
  readonly #given: Sandbox[] = []

  /** @param directory temporary, of all stages; whoever made it removes it */
  constructor(directory: string) {
    this.#directory = directory
  }

  next(lane: number): Sandbox {
    // Short: the path of a socket has 107 bytes.
    const directory = join(this.#directory, `${this.#given.length}`)
    mkdirSync(directory)
    const sandbox = { directory, marker: `TEST_STAGE_OF_RAFT_NGINX=${randomUUID()}`, lane }
    this.#given.push(sandbox)
    return sandbox
  }

  endAll(): void {
    for (const sandbox of this.#given) endAll(sandbox)
  }
}

const STDERR_CHARACTERS_MAX = 8_000

/** Never rejects for what the command does. */
export async function runStage(command: StageCommand, sandbox: Sandbox): Promise<StageEnd> {
  const [name = '', value = ''] = sandbox.marker.split('=')
  const child = spawn(command.program, [...command.args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    // a group of its own: Ctrl-C is for this program, which ends the group
    detached: true,
    env: {
      ...{ ...process.env, ...command.env },
      ...{ TMPDIR: sandbox.directory, TEST_LANE: `${sandbox.lane}`, [name]: value },
    },
  })
  let late = false
  let stderr = ''
  child.stderr.setEncoding('utf8')
  child.stderr.on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_CHARACTERS_MAX)
  })
  const lines = createInterface({ input: child.stdout })
  lines.on('line', command.onLine)
  const allRead = new Promise(resolve => lines.once('close', resolve))
  const timer = setTimeout(() => {
    late = true
    endAll(sandbox)
  }, command.timeoutMs)
  const exit = await new Promise<string | null>(resolve => {
    child.once('error', error => resolve(error.message))
    child.once('exit', (code, signal) => {
      if (signal !== null) resolve(`ended by ${signal}`)
      else resolve(code === 0 ? null : `exit code ${code}`)
    })
  })
  clearTimeout(timer)
  const leftovers = endAll(sandbox)
  // what was left behind held the pipe open; should it not have ended, the other stages go on all the same
  await Promise.race([allRead, sleep(2_000, undefined, { ref: false })])
  const problem = late ? `not done after ${command.timeoutMs / 1000} s` : exit
  return { problem, stderr, leftovers }
}

/** Ends whatever the stage started and did not end. @returns how many processes that were */
function endAll({ directory, marker }: Sandbox): number {
  const marked = processIds().filter(pid => environmentOf(pid).split('\0').includes(marker))
  const found = new Set([...marked, ...processesUsing(directory)])
  found.delete(process.pid)
  for (const pid of found) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // gone meanwhile, or of another user, who is none of ours
    }
  }
  return found.size
}
