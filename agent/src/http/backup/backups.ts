import { createHash } from 'node:crypto'
import { type FileHandle, mkdtemp, open, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Applied, SnapshotView } from '../../machine/state-machine.ts'
import { freeSpace } from '../../os/free-space.ts'

/** What is copied, and where to. */
export interface BackupSource {
  /** of the machine */
  readonly snapshot: () => Promise<SnapshotView> | SnapshotView
  /** Of the node's data: a copy lies there while it is sent. Null: it keeps nothing on disk. */
  readonly directory: string | null
  readonly clusterId: string
  /** What a copy must leave free on that disk, since a full one stops the node; default 64 MiB. */
  readonly reserveBytes?: number
}

/** A whole copy, which has no name any more: it is gone once it is closed, and with the process. */
export interface Copy {
  readonly applied: Applied
  readonly file: FileHandle
  readonly bytes: number
  readonly sha256: Buffer
  readonly isSqlite: boolean
}

/** A copy would leave too little of the disk. */
export class NoSpace extends Error {
  override readonly name = 'NoSpace'
}

const PREFIX = 'backup-'
const LEFT_OVER = /^backup-[A-Za-z0-9]{6}$/
/** Of the data directory these are in no copy. */
const NOT_DATA: ReadonlySet<string> = new Set(['log', 'snapshots'])
const RESERVE_BYTES = 64 * 2 ** 20
const PIECE_BYTES = 256 * 1024
const SQLITE_HEAD = 'SQLite format 3\0'

/** Makes one copy at a time. */
export class Backups {
  readonly clusterId: string
  readonly #source: BackupSource
  #busy = false

  constructor(source: BackupSource) {
    this.clusterId = source.clusterId
    this.#source = source
  }

  /** Takes the one place there is. Null: it is taken; else to be called when all is over, at least once. */
  begin(): (() => void) | null {
    if (this.#busy) return null
    this.#busy = true
    let mine = true
    return () => {
      if (mine) this.#busy = false
      mine = false
    }
  }

  /**
   * A copy of all that the machine has applied, verified to be as it was written.
   * @param given up when it aborts
   * @throws NoSpace | the error of the surroundings, or of the machine; then nothing is left
   */
  async copy(signal: AbortSignal): Promise<Copy> {
    const { directory } = this.#source
    if (directory !== null) await this.#requireSpace(directory)
    const place = await mkdtemp(join(directory ?? tmpdir(), PREFIX))
    try {
      const path = join(place, 'copy')
      const applied = await this.#write(path, signal)
      const file = await open(path, 'r')
      try {
        return { applied, file, ...(await digest(file, signal)) }
      } catch (error) {
        await file.close()
        throw error
      }
    } finally {
      await rm(place, { recursive: true, force: true })
    }
  }

  /** The view goes before anything is sent: a slow reader holds up no checkpoint. */
  async #write(path: string, signal: AbortSignal): Promise<Applied> {
    const view = await this.#source.snapshot()
    const release = () => view.release()
    signal.addEventListener('abort', release)
    try {
      signal.throwIfAborted()
      await view.writeTo(path)
      return view.applied
    } finally {
      signal.removeEventListener('abort', release)
      release()
    }
  }

  async #requireSpace(directory: string): Promise<void> {
    const { reserveBytes = RESERVE_BYTES } = this.#source
    const [{ free }, data] = await Promise.all([freeSpace(directory), dataBytes(directory)])
    if (free - data < reserveBytes) throw new NoSpace(directory)
  }
}

/** Removes what a crash has left of copies. */
export async function removeLeftOvers(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (LEFT_OVER.test(name)) await rm(join(directory, name), { recursive: true, force: true })
  }
}

async function digest(
  file: FileHandle,
  signal: AbortSignal,
): Promise<Pick<Copy, 'bytes' | 'sha256' | 'isSqlite'>> {
  const hash = createHash('sha256')
  let bytes = 0
  let isSqlite = false
  for await (const piece of piecesOf(file)) {
    signal.throwIfAborted()
    if (bytes === 0) isSqlite = piece.toString('latin1', 0, SQLITE_HEAD.length) === SQLITE_HEAD
    hash.update(piece)
    bytes += piece.length
  }
  return { bytes, sha256: hash.digest(), isSqlite }
}

/** A file from its start to its end. Each piece has a buffer of its own. */
export async function* piecesOf(file: FileHandle): AsyncGenerator<Buffer> {
  for (let at = 0; ; ) {
    const piece = Buffer.allocUnsafe(PIECE_BYTES)
    const { bytesRead } = await file.read(piece, 0, PIECE_BYTES, at)
    if (bytesRead === 0) return
    at += bytesRead
    yield piece.subarray(0, bytesRead)
  }
}

/** How large a copy may become. */
async function dataBytes(directory: string): Promise<number> {
  let sum = 0
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory() && !NOT_DATA.has(entry.name)) sum += await dataBytes(path)
    // It may have gone meanwhile.
    if (entry.isFile())
      sum += await stat(path).then(
        ({ size }) => size,
        () => 0,
      )
  }
  return sum
}
