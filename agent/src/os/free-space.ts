import { statfs } from 'node:fs/promises'

export interface FreeSpace {
  /** bytes that this process may still write */
  readonly free: number
  /** bytes of the whole file system */
  readonly whole: number
}

/** Of the file system that a directory is on. */
export async function freeSpace(directory: string): Promise<FreeSpace> {
  const { bavail, blocks, bsize } = await statfs(directory)
  return { free: bavail * bsize, whole: blocks * bsize }
}
