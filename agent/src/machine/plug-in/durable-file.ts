import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Writes and fsyncs; the name itself may not be durable yet. */
export async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Replaces the file whole or not at all, whatever happens meanwhile; durable when it resolves. */
export async function replaceDurably(path: string, bytes: Uint8Array): Promise<void> {
  await writeSynced(`${path}.tmp`, bytes)
  await rename(`${path}.tmp`, path)
  const directory = await open(dirname(path), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** Null when there is no such file. */
export async function readIfThere(path: string): Promise<Uint8Array | null> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
