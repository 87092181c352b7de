import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const TERM_WAIT_MS = 5_000
const POLL_MS = 50

/** Everything this process has started and not ended yet. */
const living = new Set<ChildProcess>()

export interface Command {
  readonly program: string
  readonly args: readonly string[]
  /** where stdout and stderr go */
  readonly logFile: string
  /** beside this process's own */
  readonly env?: Readonly<Record<string, string>>
}

/** A server that was started, and where it says what. */
export interface RunningServer {
  readonly child: ChildProcess
  readonly logFile: string
}

/** Starts a server of its own process group, so that Ctrl-C in the terminal reaches only the bench. */
export function startServer({ program, args, logFile, env }: Command): ChildProcess {
  const log = openSync(logFile, 'a')
  const child = spawn(program, [...args], {
    stdio: ['ignore', log, log],
    detached: true,
    env: { ...process.env, ...env },
  })
  closeSync(log)
  living.add(child)
  child.once('exit', () => living.delete(child))
  child.once('error', () => living.delete(child))
  return child
}

/** SIGTERM, and SIGKILL to what is left after a while. */
export async function endServers(servers: readonly ChildProcess[]): Promise<void> {
  for (const server of servers) server.kill('SIGTERM')
  const deadlineMs = performance.now() + TERM_WAIT_MS
  while (servers.some(isAlive) && performance.now() < deadlineMs) await sleep(POLL_MS)
  for (const server of servers.filter(isAlive)) killFamily(server)
  while (servers.some(isAlive)) await sleep(POLL_MS)
}

/** For the last moment, when nothing can be awaited. */
export function killAllServers(): void {
  for (const server of living) killFamily(server)
}

/** With the children of its process group: nginx's workers outlive a master that is killed. */
function killFamily({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // nobody of it is left
  }
}

/** @throws Error when the check has not succeeded in time, or a server has ended meanwhile; with the end of its log */
export async function waitUntil(
  what: string,
  servers: readonly RunningServer[],
  check: () => Promise<boolean>,
): Promise<void> {
  const deadlineMs = performance.now() + 30_000
  for (;;) {
    if (await check().catch(() => false)) return
    const ended = servers.find(server => !isAlive(server.child))
    const late = performance.now() > deadlineMs
    if (ended !== undefined || late) {
      const shown = ended ?? servers[0]
      const why = ended === undefined ? 'not ready in 30 s' : 'a server ended'
      throw new Error(`${what}: ${why}\n${shown === undefined ? '' : tailOf(shown.logFile)}`)
    }
    await sleep(POLL_MS)
  }
}

/** Process ids of a server and of its direct children, such as nginx's workers. */
export function familyPids(server: ChildProcess): number[] {
  const { pid } = server
  if (pid === undefined) return []
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return [pid, ...children.split(' ').filter(Boolean).map(Number)]
}

function isAlive(server: ChildProcess): boolean {
  return server.pid !== undefined && server.exitCode === null && server.signalCode === null
}

function tailOf(logFile: string): string {
  return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-5).join('\n')
}
