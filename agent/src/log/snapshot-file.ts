import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { crc32c } from '../lib/crc32c.ts'
import type { Disk, DiskFile } from './disk.ts'

/** Files are summed, copied and sent in pieces of so many bytes. */
export const PIECE_BYTES = 256 * 1024
/** After each piece, ms: a file of gigabytes leaves the event loop to the others. */
const PAUSE_MS = 1

/** How to know every piece of a file. */
export interface FileSums {
  readonly bytes: number
  /** CRC-32C of each piece of `PIECE_BYTES`, the last one shorter. */
  readonly pieces: readonly number[]
}

/** A stored snapshot is not what was written. */
export class SnapshotDamage extends Error {
  override readonly name = 'SnapshotDamage'
}

/**
 * Reads a whole file.
 * @param signal rejects at the next piece with its reason
 */
export async function sumFile(
  disk: Disk,
  path: string,
  signal?: AbortSignal,
): Promise<{ readonly sums: FileSums; readonly sha256: string }> {
  const hash = createHash('sha256')
  return withFile(disk, path, async file => {
    const pieces: number[] = []
    let at = 0
    for (;;) {
      const bytes = await file.read(at, PIECE_BYTES)
      if (bytes.length > 0) {
        hash.update(bytes)
        pieces.push(crc32c(bytes, 0, bytes.length))
        at += bytes.length
      }
      if (bytes.length < PIECE_BYTES) {
        return { sums: { bytes: at, pieces }, sha256: hash.digest('hex') }
      }
      signal?.throwIfAborted()
      await sleep(PAUSE_MS)
    }
  })
}

/** Reads a file of known sums: what it returns is what was written. */
export class VerifiedFile {
  readonly #file: DiskFile
  readonly #path: string
  readonly #sums: FileSums

  private constructor(file: DiskFile, path: string, sums: FileSums) {
    this.#file = file
    this.#path = path
    this.#sums = sums
  }

  /** @throws SnapshotDamage when it is of another size */
  static async open(disk: Disk, path: string, sums: FileSums): Promise<VerifiedFile> {
    const file = await disk.open(path, 'existing')
    const bytes = await file.size()
    if (bytes === sums.bytes) return new VerifiedFile(file, path, sums)
    await file.close()
    throw new SnapshotDamage(`${path}: ${bytes} bytes, not ${sums.bytes}`)
  }

  /**
   * From `offset` to the end of the piece that it lies in; empty at the end of the file.
   * @throws SnapshotDamage
   */
  async read(offset: number): Promise<Uint8Array> {
    const number = Math.floor(offset / PIECE_BYTES)
    const start = number * PIECE_BYTES
    if (offset >= this.#sums.bytes) return new Uint8Array(0)
    const length = Math.min(PIECE_BYTES, this.#sums.bytes - start)
    const bytes = await this.#file.read(start, length)
    const isWhole =
      bytes.length === length && crc32c(bytes, 0, length) === this.#sums.pieces[number]
    if (!isWhole)
      throw new SnapshotDamage(`${this.#path}: damaged at ${start} to ${start + length}`)
    return bytes.subarray(offset - start)
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

/** Reads all of it. @throws SnapshotDamage */
export async function verifyFile(
  disk: Disk,
  path: string,
  sums: FileSums,
  onPiece: (bytes: Uint8Array, at: number) => Promise<void> = async () => {},
): Promise<void> {
  const file = await VerifiedFile.open(disk, path, sums)
  try {
    for (let at = 0; at < sums.bytes; at += PIECE_BYTES) {
      if (at > 0) await sleep(PAUSE_MS)
      await onPiece(await file.read(at), at)
    }
  } finally {
    await file.close()
  }
}

/** A durable copy of what was written, under a name that is not durable yet. @throws SnapshotDamage */
export async function copyVerified(
  disk: Disk,
  path: string,
  sums: FileSums,
  to: string,
): Promise<void> {
  const copy = await disk.open(to, 'create')
  try {
    await verifyFile(disk, path, sums, (bytes, at) => copy.write(bytes, at))
  } finally {
    await copy.close()
  }
}

/** All of a small file. */
export async function readSmall(disk: Disk, path: string): Promise<Uint8Array> {
  return withFile(disk, path, async file => file.read(0, await file.size()))
}

async function withFile<T>(
  disk: Disk,
  path: string,
  use: (file: DiskFile) => Promise<T>,
): Promise<T> {
  const file = await disk.open(path, 'existing')
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}
