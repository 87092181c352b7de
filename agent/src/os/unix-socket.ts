import { lstat, unlink } from 'node:fs/promises'
import { connect, type ListenOptions, type Server } from 'node:net'
import { SOCKET_PATH_BYTES_MAX } from './socket-path.ts'

/** @throws when it cannot be had */
export function listen(server: Server, where: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(where, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/**
 * Makes way for a socket: removes the file that a killed agent left behind, and nothing else.
 * @throws when the path is too long, is no socket, or somebody listens there
 */
export async function clearSocketPath(path: string): Promise<void> {
  const bytes = Buffer.byteLength(path)
  if (bytes > SOCKET_PATH_BYTES_MAX) {
    throw new Error(
      `a unix socket's path has at most ${SOCKET_PATH_BYTES_MAX} bytes, this has ${bytes}: ${path}`,
    )
  }
  const stats = await lstat(path).catch(absent)
  if (stats === null) return
  if (!stats.isSocket()) throw new Error(`not a socket, so it is left alone: ${path}`)
  if (await listens(path)) throw new Error(`somebody listens on this socket already: ${path}`)
  await unlink(path).catch(absent)
}

function listens(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(path)
    probe.on('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false)
      else reject(new Error(`cannot tell whether somebody listens on ${path}`, { cause: error }))
    })
  })
}

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null
  throw error
}
