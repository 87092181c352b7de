/** Files that are there whole or not at all, also after a power loss. */
import fs from 'node:fs'
import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Writes and fsyncs; the name itself may not be durable yet. */
export async function writeSynced(path: string, bytes: Uint8Array | string): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Replaces the file whole or not at all, whatever happens meanwhile; durable when it resolves. */
export async function replaceDurably(path: string, bytes: Uint8Array | string): Promise<void> {
  await writeSynced(`${path}.tmp`, bytes)
  await rename(`${path}.tmp`, path)
  await syncDirectory(dirname(path))
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

/** Of a file that somebody else wrote. */
export async function syncFile(path: string): Promise<void> {
  await synced(path, 'r+')
}

/** Makes creations, renames and removals in it durable. */
export async function syncDirectory(path: string): Promise<void> {
  await synced(path, 'r')
}

/** At once, where nothing may come between. */
export function syncFileNow(path: string): void {
  syncedNow(path, 'r+')
}

/** At once, where nothing may come between. */
export function syncDirectoryNow(path: string): void {
  syncedNow(path, 'r')
}

async function synced(path: string, flags: string): Promise<void> {
  const handle = await open(path, flags)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function syncedNow(path: string, flags: string): void {
  const fd = fs.openSync(path, flags)
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}
