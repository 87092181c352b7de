/** Who has a port. */

import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { commandLine, openFiles, processIds } from './processes.ts'

const LISTEN = '0A'

/** The kernel closes a killed process's sockets a moment after it lets the process go. */
const DYING_MS = 1_000
const POLL_MS = 20

/** Null when `port` is free on the loopback interface; else who has it, as far as that can be told. */
export async function portTakenBy(port: number): Promise<string | null> {
  const deadline = performance.now() + DYING_MS
  while (!(await isFree(port))) {
    const owner = ownerOf(port)
    if (owner !== null) return owner
    if (performance.now() > deadline) return 'a process that only its owner or root can see'
    await sleep(POLL_MS)
  }
  return null
}

function ownerOf(port: number): string | null {
  const inodes = new Set([
    ...socketsOf('/proc/net/tcp', port),
    ...socketsOf('/proc/net/tcp6', port),
  ])
  const owner = processIds().find(pid =>
    openFiles(pid).some(file => inodes.has(/^socket:\[(\d+)\]$/.exec(file)?.[1] ?? '')),
  )
  return owner === undefined ? null : `process ${owner}: ${commandLine(owner).slice(0, 120)}`
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false)
      else reject(new Error(`listen on port ${port}: ${error.message}`, { cause: error }))
    })
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      probe.close(() => resolve(true))
    })
  })
}

/** Inodes of the sockets that listen on `port`. */
function socketsOf(table: string, port: number): string[] {
  let text: string
  try {
    text = readFileSync(table, 'utf8')
  } catch {
    return []
  }
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return text.split('\n').flatMap(line => {
    const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/)
    return local.endsWith(wanted) && state === LISTEN ? inode : []
  })
}
