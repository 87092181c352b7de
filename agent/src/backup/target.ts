import { readFile, rm } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { makeDirectoryDurably, systemDisk, writeFileDurably } from '../log/disk.ts'
import { lockDirectory, othersIn, UNFINISHED } from '../log/identity-file.ts'

/** Where a node's data is to be. */
export interface Directories {
  readonly data: string
  /** Of the Raft log; in `data` or not. */
  readonly log: string
  /** The node's configuration may lie in `data`. */
  readonly configFile: string
}

/** What must not be, in words for the operator. Nothing was changed. */
export class RestoreRefusal extends Error {
  override readonly name = 'RestoreRefusal'
}

const NAMES_MAX = 5

/**
 * An empty data directory that is being filled. As long as it is marked no agent starts on it, and another
 * attempt empties it: whatever lies there is of the attempt that was cut short.
 */
export class Target {
  readonly #directories: Directories
  readonly #lock: { release(): void }

  private constructor(directories: Directories, lock: { release(): void }) {
    this.#directories = directories
    this.#lock = lock
  }

  /** @throws RestoreRefusal unless the directories are empty, or of an attempt that was cut short */
  static async claim(directories: Directories): Promise<Target> {
    const { data, log } = directories
    const lock = await lockDirectory(data)
    try {
      const target = new Target(directories, lock)
      const names = await systemDisk.list(data)
      if (names.includes('identity.json')) {
        throw new RestoreRefusal(`${data} holds a node's data already: wipe it, or use another one`)
      }
      if (names.includes(UNFINISHED)) await target.#reclaim()
      else await target.#requireEmpty()
      const mark = Buffer.from(`${JSON.stringify({ log })}\n`)
      await writeFileDurably(systemDisk, join(data, UNFINISHED), mark)
      return target
    } catch (error) {
      lock.release()
      throw error
    }
  }

  /** The identity is there: from now on it is a node's. */
  async finish(): Promise<void> {
    const { data } = this.#directories
    await rm(join(data, UNFINISHED), { force: true })
    await systemDisk.syncDirectory(data)
    this.#lock.release()
  }

  /** Leaves the directories as they were, empty. */
  async giveUp(): Promise<void> {
    try {
      await this.#empty()
      await rm(join(this.#directories.data, UNFINISHED), { force: true })
    } finally {
      this.#lock.release()
    }
  }

  async #requireEmpty(): Promise<void> {
    const { data } = this.#directories
    const others = await this.#others()
    if (others.length > 0) throw notEmpty(data, others)
    await this.#requireEmptyLog()
  }

  async #requireEmptyLog(): Promise<void> {
    const { log } = this.#directories
    if (this.#logIsInside()) return
    await makeDirectoryDurably(systemDisk, log)
    const others = othersIn(await systemDisk.list(log), ['owner.lock'])
    if (others.length > 0) throw notEmpty(log, others)
  }

  async #reclaim(): Promise<void> {
    const { data, log } = this.#directories
    const marked = await readFile(join(data, UNFINISHED), 'utf8').then(logOf)
    // Else its own files would be taken for those of the attempt.
    if (marked !== log) await this.#requireEmptyLog()
    await this.#empty()
  }

  async #empty(): Promise<void> {
    const { data, log } = this.#directories
    const others = (await this.#others()).filter(name => name !== UNFINISHED)
    for (const name of others) await rm(join(data, name), { recursive: true, force: true })
    await systemDisk.syncDirectory(data)
    if (this.#logIsInside()) return
    for (const name of othersIn(await systemDisk.list(log), [])) {
      await rm(join(log, name), { recursive: true, force: true })
    }
    await systemDisk.syncDirectory(log)
  }

  async #others(): Promise<string[]> {
    const { data, configFile } = this.#directories
    const expected = dirname(configFile) === data ? [basename(configFile)] : []
    return othersIn(await systemDisk.list(data), expected)
  }

  #logIsInside(): boolean {
    return isInside(this.#directories.log, this.#directories.data)
  }
}

export function isInside(path: string, directory: string): boolean {
  const way = relative(directory, path)
  return way !== '..' && !way.startsWith('../')
}

function logOf(text: string): unknown {
  try {
    return (JSON.parse(text) as { log?: unknown }).log
  } catch {
    return null
  }
}

function notEmpty(directory: string, names: readonly string[]): RestoreRefusal {
  const shown = [...names].sort().slice(0, NAMES_MAX).join(', ')
  const more = names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : ''
  return new RestoreRefusal(`${directory} is not empty: it holds ${shown}${more}`)
}
