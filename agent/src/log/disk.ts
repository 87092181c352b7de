import fs from 'node:fs'
import { mkdir, readdir, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { syncDirectory } from '../os/durable-file.ts'
import { lockFile } from '../os/file-lock.ts'

/** An open file. Every method rejects with the error of the system, unchanged. */
export interface DiskFile {
  /** Resolves when all bytes are durable, as if fdatasync had followed. A rejection leaves any prefix. */
  write(bytes: Uint8Array, at: number): Promise<void>
  /** Exactly `length` bytes, or fewer at the end of the file. */
  read(at: number, length: number): Promise<Uint8Array>
  size(): Promise<number>
  /** Cuts the file; durable when it resolves. */
  truncate(length: number): Promise<void>
  close(): Promise<void>
}

/** What the log needs of a file system. The tests have one that crashes and fails on command. */
export interface Disk {
  /** Names in a directory, in no order. */
  list(directory: string): Promise<string[]>
  /** False if it was there already. Not durable before `syncDirectory` of its parent. */
  makeDirectory(path: string): Promise<boolean>
  /** `create` empties a file that is there. Its name is not durable before `syncDirectory`. */
  open(path: string, mode: 'create' | 'existing'): Promise<DiskFile>
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** Makes creations, renames and removals in it durable (C7). */
  syncDirectory(path: string): Promise<void>
  /** Exclusive among processes and within this one, until `release` or the end of the process; null: taken. */
  lock(path: string): { release(): void } | null
}

const openFd = promisify(fs.open)
const readFd = promisify(fs.read)
const { O_CREAT, O_DSYNC, O_RDWR, O_TRUNC } = fs.constants

/** The file system of the machine. */
export const systemDisk: Disk = {
  list: directory => readdir(directory),
  async makeDirectory(path) {
    try {
      await mkdir(path, { mode: 0o700 })
      return true
    } catch (cause) {
      if (codeOf(cause) === 'EEXIST') return false
      throw cause
    }
  },
  async open(path, mode) {
    // O_DSYNC makes one system call of write and fdatasync: one trip to the thread pool, not two.
    const flags = O_RDWR | O_DSYNC | (mode === 'create' ? O_CREAT | O_TRUNC : 0)
    return new SystemFile(await openFd(path, flags, 0o600))
  },
  rename: (from, to) => rename(from, to),
  remove: path => unlink(path),
  syncDirectory,
  lock: lockFile,
}

/** Callbacks on a bare descriptor: measured faster than FileHandle on the path that every write takes. */
class SystemFile implements DiskFile {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  write(bytes: Uint8Array, at: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = (done: number): void => {
        fs.write(this.#fd, bytes, done, bytes.length - done, at + done, (error, written) => {
          if (error) reject(error)
          else if (done + written < bytes.length) go(done + written)
          else resolve()
        })
      }
      go(0)
    })
  }

  async read(at: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    for (let done = 0; done < length; ) {
      const { bytesRead } = await readFd(this.#fd, bytes, done, length - done, at + done)
      if (bytesRead === 0) return bytes.subarray(0, done)
      done += bytesRead
    }
    return bytes
  }

  size(): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.fstat(this.#fd, (error, stats) => (error ? reject(error) : resolve(stats.size)))
    })
  }

  truncate(length: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error: Error | null) => (error ? reject(error) : resolve())
      fs.ftruncate(this.#fd, length, error => (error ? reject(error) : fs.fsync(this.#fd, settle)))
    })
  }

  close(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.close(this.#fd, error => (error ? reject(error) : resolve()))
    })
  }
}

/** Makes a directory and what is missing above it. Durable when it resolves, parents included (C7). */
export async function makeDirectoryDurably(disk: Disk, path: string): Promise<void> {
  const parent = dirname(path)
  let isNew: boolean
  try {
    isNew = await disk.makeDirectory(path)
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT' || parent === path) throw cause
    await makeDirectoryDurably(disk, parent)
    isNew = await disk.makeDirectory(path)
  }
  // What was there already, the path or else its parent, may come from a run that died before its sync.
  if (isNew) await disk.syncDirectory(dirname(parent))
  await disk.syncDirectory(parent)
}

/** Writes a new file whole or not at all: a temporary name, then a rename. Durable when it resolves. */
export async function writeFileDurably(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`
  const file = await disk.open(temporary, 'create')
  try {
    await file.write(bytes, 0)
  } finally {
    await file.close()
  }
  await disk.rename(temporary, path)
  await disk.syncDirectory(dirname(path))
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
