/** What happens in a running cluster, line by line, for a person who watches. */

import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { agentPid } from './agent-server.ts'
import { gatewayPid } from './gateway-server.ts'
import type { NodePlace, Place } from './layout.ts'
import { parseLogLine } from './log-tail.ts'
import { isPaused } from './processes.ts'

const POLL_MS = 300
const CHUNK_BYTES_MAX = 1 << 20
/** pino's number for a warning */
const WARN = 40

/** Prints events until the signal comes. */
export async function followCluster(place: Place, signal: AbortSignal): Promise<void> {
  const watched = place.nodes.map(node => ({ node, log: new LogReader(node.agentLog) }))
  let states = place.nodes.map(stateLines)
  while (!signal.aborted) {
    for (const { node, log } of watched) {
      for (const line of log.read()) show(node, line)
    }
    const now = place.nodes.map(stateLines)
    for (const [at, lines] of now.entries()) {
      for (const line of lines) if (!states[at]?.includes(line)) print(line)
    }
    states = now
    await sleep(POLL_MS, undefined, { signal }).catch(() => null)
  }
}

/** What has been added to a log since it was last looked at. */
class LogReader {
  readonly #file: string
  #offset: number
  #rest = ''

  constructor(file: string) {
    this.#file = file
    this.#offset = sizeOf(file)
  }

  read(): string[] {
    const size = sizeOf(this.#file)
    if (size < this.#offset) this.#offset = 0
    if (size === this.#offset) return []
    const buffer = Buffer.alloc(Math.min(size - this.#offset, CHUNK_BYTES_MAX))
    const descriptor = openSync(this.#file, 'r')
    try {
      this.#offset += readSync(descriptor, buffer, 0, buffer.length, this.#offset)
    } finally {
      closeSync(descriptor)
    }
    const lines = (this.#rest + buffer.toString('utf8')).split('\n')
    this.#rest = lines.pop() ?? ''
    return lines
  }
}

function sizeOf(file: string): number {
  return existsSync(file) ? statSync(file).size : 0
}

/** Leader changes, starts and ends, and whatever an agent warns of. */
function show(node: NodePlace, line: string): void {
  if (line === '') return
  const event = parseLogLine(line)
  if (event === null) print(`${node.id}: ${line}`)
  else if (event.msg === 'role') {
    if (event.role === 'leader') print(`${node.id} leads, term ${event.term}`)
  } else if (event.level >= WARN || event.msg === 'stopping' || event.msg === 'serving') {
    print(`${node.id}: ${event.msg}`)
  }
}

function stateLines(node: NodePlace): string[] {
  const pid = agentPid(node)
  const agent = pid === null ? 'does not run' : isPaused(pid) ? 'is paused' : 'runs'
  const nginx = gatewayPid(node) === null ? 'does not run' : 'runs'
  return [`${node.id}: the agent ${agent}`, `${node.id}: nginx ${nginx}`]
}

function print(line: string): void {
  console.log(`${new Date().toTimeString().slice(0, 8)}  ${line}`)
}
