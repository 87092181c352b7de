/** Who has a port. */

import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { commandLine, openFiles, processIds } from './processes.ts'

const LISTEN = '0A'

/** Null when `port` is free on the loopback interface; else who has it, as far as that can be told. */
export async function portTakenBy(port: number): Promise<string | null> {
  if (await isFree(port)) return null
  const inodes = new Set([
    ...socketsOf('/proc/net/tcp', port),
    ...socketsOf('/proc/net/tcp6', port),
  ])
  const owner = processIds().find(pid =>
    openFiles(pid).some(file => inodes.has(/^socket:\[(\d+)\]$/.exec(file)?.[1] ?? '')),
  )
  if (owner === undefined) return 'a process that only its owner or root can see'
  return `process ${owner}: ${commandLine(owner).slice(0, 120)}`
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
