/** Servers that outlive the command that started them: found again by a pid file that is never trusted by itself. */

import { spawn } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 20
/** Which of `statOf` is `num_threads`, proc_pid_stat(5). */
const THREADS = 17

export interface Server {
  readonly pidFile: string
  /** stands in its command line and in no other's: a pid that was given to another process is never taken for it */
  readonly mark: string
  /** or, where it may have another command line (an nginx under a loader of its own): of this directory it has files open */
  readonly folder?: string
}

export interface Command {
  readonly program: string
  readonly args: readonly string[]
  /** where its output goes */
  readonly logFile: string
  /** beside this process's own */
  readonly env?: Readonly<Record<string, string>>
  /** a network namespace that `ip netns` knows; null, the default: this program's own */
  readonly namespace?: string | null
}

/** A process that was started, and how it ended if it has. */
export interface Started {
  readonly pid: number
  /** null while it runs; else its exit code or signal in words */
  ended(): string | null
}

/** Starts it in a session of its own, so that neither Ctrl-C nor the end of this command reaches it. */
export async function startServer(server: Server, command: Command): Promise<Started> {
  mkdirSync(dirname(server.pidFile), { recursive: true })
  const log = openSync(command.logFile, 'a')
  try {
    const { namespace = null } = command
    const [program, ...args] = commandIn(namespace, [command.program, ...command.args])
    const child = spawn(program, args, {
      stdio: ['ignore', log, log],
      detached: true,
      env: { ...serverEnvironment(), ...command.env },
    })
    let ended: string | null = null
    child.once('exit', (code, signal) => {
      ended = signal === null ? `exit code ${code}` : `signal ${signal}`
    })
    await new Promise((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', cause => reject(new Error(`start ${command.program}`, { cause })))
    })
    child.unref()
    const { pid } = child
    if (pid === undefined) throw new Error(`start ${command.program}: no process`)
    writeFileSync(server.pidFile, `${pid}\n`)
    return { pid, ended: () => ended }
  } finally {
    closeSync(log)
  }
}

/** The command that runs it there. nsenter becomes what it starts, and unlike `ip netns exec` keeps no copy of the mounts. */
export function commandIn(
  namespace: string | null,
  command: readonly [string, ...string[]],
): readonly [string, ...string[]] {
  return namespace === null
    ? command
    : ['nsenter', `--net=/run/netns/${namespace}`, '--', ...command]
}

/** Process id of the running server; null when it does not run. */
export function runningPid({ pidFile, mark, folder }: Server): number | null {
  let text: string
  try {
    text = readFileSync(pidFile, 'utf8')
  } catch {
    return null
  }
  const pid = Number.parseInt(text, 10)
  if (!Number.isInteger(pid) || pid <= 1) return null
  const line = commandLine(pid)
  const known = line.includes(mark) || (line === '' && isBecoming(pid))
  return known || (folder !== undefined && hasOpen(pid, folder)) ? pid : null
}

/**
 * Whether it is between two programs, as nsenter and what it starts: it has no command line for that moment, and on a
 * busy machine for many. Unlike a zombie and the kernel's own it has memory.
 */
function isBecoming(pid: number): boolean {
  return /^VmSize:/m.test(procFile(pid, 'status'))
}

/** Whether it was stopped by SIGSTOP. */
export function isPaused(pid: number): boolean {
  return stateOf(pid) === 'T'
}

/** Whether it does something of its own at this signal, instead of ending. */
export function catches(pid: number, signal: NodeJS.Signals): boolean {
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(procFile(pid, 'status'))?.[1] ?? '0'
  return ((BigInt(`0x${caught}`) >> BigInt(constants.signals[signal] - 1)) & 1n) === 1n
}

/** To the whole process group: nginx's workers too. Nothing happens where there is none any more. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** @returns false when something of the group is still there after that time */
export async function groupEnds(pid: number, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs
  while (groupLives(pid)) {
    if (performance.now() > deadline) return false
    await sleep(POLL_MS)
  }
  return true
}

/** SIGTERM (through a pause), then SIGKILL. */
export async function endServer(
  server: Server,
  graceMs: number,
): Promise<'ended' | 'killed' | 'none'> {
  const pid = runningPid(server)
  if (pid !== null) {
    signalGroup(pid, 'SIGCONT')
    process.kill(pid, 'SIGTERM')
    if (!(await groupEnds(pid, graceMs))) {
      signalGroup(pid, 'SIGKILL')
      await groupEnds(pid, graceMs)
      rmSync(server.pidFile, { force: true })
      return 'killed'
    }
  }
  rmSync(server.pidFile, { force: true })
  return pid === null ? 'none' : 'ended'
}

/** kill -9 of the whole group. @returns false when it did not run */
export async function killServer(server: Server): Promise<boolean> {
  const pid = runningPid(server)
  if (pid === null) return false
  signalGroup(pid, 'SIGKILL')
  await groupEnds(pid, 5_000)
  rmSync(server.pidFile, { force: true })
  return true
}

/** Every process of this machine that can be looked at. */
export function processIds(): number[] {
  return readdirSync('/proc')
    .filter(name => /^[0-9]+$/.test(name))
    .map(Number)
}

/** Words joined by blanks; empty for what has ended or is a zombie. */
export function commandLine(pid: number): string {
  return procFile(pid, 'cmdline').replaceAll('\0', ' ').trimEnd()
}

/** `NAME=value` pairs, each ended by NUL; empty where it may not be read. */
export function environmentOf(pid: number): string {
  return procFile(pid, 'environ')
}

/** What its file descriptors stand for, such as a path or `socket:[123]`. */
export function openFiles(pid: number): string[] {
  const folder = `/proc/${pid}/fd`
  return namesIn(folder).flatMap(name => {
    try {
      return readlinkSync(join(folder, name))
    } catch {
      // closed since its name was read
      return []
    }
  })
}

/** Memory that it has at the moment, as the kernel counts it; 0 where it has ended. */
export function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s*([0-9]+) kB$/m.exec(procFile(pid, 'status'))?.[1] ?? 0) * 1024
}

/** Such as nginx's workers. */
export function childrenOf(pid: number): number[] {
  const children = procFile(pid, `task/${pid}/children`)
  return children.split(' ').filter(Boolean).map(Number)
}

/** Processes that keep a file under this directory open, or name it in their command line. */
export function processesUsing(directory: string): number[] {
  return processIds().filter(
    pid =>
      pid !== process.pid &&
      (commandLine(pid).includes(`${directory}/`) || hasOpen(pid, directory)),
  )
}

function hasOpen(pid: number, directory: string): boolean {
  return openFiles(pid).some(path => path.startsWith(`${directory}/`))
}

/** None where the process has ended or is another user's. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function groupLives(group: number): boolean {
  try {
    process.kill(-group, 0)
  } catch {
    return false
  }
  // A zombie still counts for kill(); nobody but its parent can make it go. With threads that have not ended, in an
  // fsync for one, it still has its sockets and files.
  return processIds().some(pid => {
    const fields = statOf(pid)
    const ended = fields[0] === 'Z' || fields[0] === 'X'
    return Number(fields[2]) === group && !(ended && Number(fields[THREADS]) <= 1)
  })
}

function stateOf(pid: number): string {
  return statOf(pid)[0] ?? ''
}

/** Fields of /proc/PID/stat from the state on: the name before them may hold blanks and brackets. */
function statOf(pid: number): string[] {
  const text = procFile(pid, 'stat')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}

function procFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch {
    return ''
  }
}

/** An agent reads RAFT_NGINX_*: what was exported for one node must not reach all of them. */
function serverEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('RAFT_NGINX_'))
  // what runs a TypeScript script is not for the servers
  return Object.fromEntries(kept.filter(([name]) => name !== 'NODE_OPTIONS'))
}
