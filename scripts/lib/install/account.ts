/** The agent's user, the folders that belong to it, and what of the package runs. */

import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs'
import { join } from 'node:path'
import { type Places, USER } from './places.ts'
import { must, run } from './programs.ts'
import { actStep, type Step } from './steps.ts'

export function userStep(): Step {
  const args = ['--system', '--no-create-home', '--home-dir', '/var/lib/raft-nginx']
  return {
    what: `make the user ${USER}`,
    holds: hasUser,
    perform: () => must('useradd', [...args, '--shell', '/usr/sbin/nologin', USER]),
    undo: () => {
      must('userdel', [USER])
      return `remove the user ${USER}`
    },
  }
}

export function removeUserStep(): Step {
  const what = `remove the user ${USER}`
  return actStep(
    what,
    () => must('userdel', [USER]),
    () => !hasUser(),
  )
}

function hasUser(): boolean {
  return run('id', [USER]).ok
}

interface Folder {
  readonly mode: number
  /** user:group; null: whose this program is */
  readonly owner: string | null
  /** what the agent may have put into it stays when the step is undone */
  readonly keeps: boolean
}

export function folderStep(folder: string, { mode, owner, keeps }: Folder): Step {
  return {
    what: `make ${folder}`,
    holds: () => existsSync(folder),
    perform: () => {
      mkdirSync(folder, { recursive: true })
      try {
        chmodSync(folder, mode)
        if (owner !== null) must('chown', [owner, folder])
      } catch (error) {
        rmdirSync(folder)
        throw error
      }
    },
    undo: () => {
      if (keeps && readdirSync(folder).length > 0) return `leave ${folder}: there is data in it`
      rmSync(folder, { recursive: true, force: true })
      return `remove ${folder}`
    },
  }
}

/** Agents and companions of this machine, not of a container on it, that run the installed package. */
export function processesOf(places: Places): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter(pid => pid > 0 && pid !== process.pid && runs(pid, places))
}

function runs(pid: number, { share, command }: Places): boolean {
  try {
    const [, program = '', verb] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    const ours = program === command && verb === 'companion'
    if (!ours && !program.startsWith(join(share, 'agent/dist/'))) return false
    const [theirs, here] = [statSync(`/proc/${pid}/root/`), statSync('/')]
    return theirs.dev === here.dev && theirs.ino === here.ino
  } catch {
    // it has ended
    return false
  }
}

/** Fails while something of the package runs: it would work on in files that are gone. */
export function endedStep(places: Places): Step {
  return actStep(
    'see that no agent runs',
    () => {
      const [pid] = processesOf(places)
      if (pid !== undefined)
        throw new Error(
          `process ${pid} runs the agent or its companion: end it first (kill ${pid})`,
        )
    },
    () => processesOf(places).length === 0,
  )
}
