import { createHash, type Hash } from 'node:crypto'
import { join } from 'node:path'
import { DecodeError } from '../lib/bytes.ts'
import type { SnapshotHeader } from '../raft/types.ts'
import { type Disk, type DiskFile, writeFileDurably } from './disk.ts'
import { readSmall, SnapshotDamage, sumFile, verifyFile } from './snapshot-file.ts'
import {
  decodeSnapshotRecord,
  encodeSnapshotRecord,
  type SnapshotRecord,
} from './snapshot-record.ts'

/** What is being received, and what may lie beside it: SQLite's journal, a temporary name. */
const NAME = 'staging'
const RECORD = 'staging.record'
/** Index, term, chance: what a store names its snapshots. It becomes the name of a file. */
const SNAPSHOT_ID = /^\d{16}-\d{16}-[0-9a-f]{8}$/

/** One piece of a snapshot's file. */
export interface SnapshotPiece {
  readonly header: SnapshotHeader
  readonly offset: number
  readonly bytes: Uint8Array
}

/** `whole`: its size and SHA-256 are those of the header. */
export type Received =
  | { readonly kind: 'held'; readonly bytes: number }
  | { readonly kind: 'whole'; readonly file: string }

/** What comes is not the snapshot that its header describes, or there is no room for it. Nothing of it is left. */
export class SnapshotRefused extends Error {
  override readonly name = 'SnapshotRefused'
}

interface Incoming {
  readonly header: SnapshotHeader
  readonly file: DiskFile
  readonly hash: Hash
  held: number
}

export interface StagingOptions {
  readonly directory: string
  readonly disk: Disk
  /** That may be written there. */
  readonly roomBytes: (directory: string) => Promise<number>
}

/** The one snapshot that is being received. Its file is durable as far as it is held. Not to be called concurrently. */
export class SnapshotStaging {
  readonly #options: StagingOptions
  readonly #path: string
  readonly #recordPath: string
  #incoming: Incoming | null = null
  /** verified, and not accepted yet */
  #whole: SnapshotHeader | null = null
  #accepted: SnapshotRecord | null = null

  constructor(options: StagingOptions) {
    this.#options = options
    this.#path = join(options.directory, NAME)
    this.#recordPath = join(options.directory, RECORD)
  }

  /**
   * Removes what a former run left, unless an install was begun.
   * @throws SnapshotDamage when it was begun and its record cannot be read; all else is done then
   */
  async open(marked: SnapshotHeader | null): Promise<void> {
    if (marked === null) {
      await this.#removeFiles()
      return
    }
    const record = await this.#readRecord()
    if (record !== null && sameSnapshot(record.header, marked)) this.#accepted = record
  }

  get accepted(): SnapshotRecord | null {
    return this.#accepted
  }

  get path(): string {
    return this.#path
  }

  /**
   * A piece that does not follow what is held changes nothing. Another snapshot than before takes its place.
   * @throws SnapshotRefused | the error of the system; the staging is empty then
   */
  async receive(piece: SnapshotPiece): Promise<Received> {
    const { header, offset, bytes } = piece
    const done = this.#accepted?.header ?? this.#whole
    if (done !== null && sameSnapshot(done, header)) return { kind: 'whole', file: this.#path }
    if (!SNAPSHOT_ID.test(header.id)) throw new SnapshotRefused('its id is none of ours')
    try {
      const incoming = await this.#begin(header)
      if (bytes.length === 0 || offset !== incoming.held) {
        return { kind: 'held', bytes: incoming.held }
      }
      return await this.#append(incoming, bytes)
    } catch (error) {
      await this.discard()
      throw error
    }
  }

  /** The whole file, changed since or not, is what will be installed: durable, and known from now on. */
  async accept(header: SnapshotHeader, signal?: AbortSignal): Promise<void> {
    if (this.#whole === null || !sameSnapshot(this.#whole, header)) {
      throw new Error('only a snapshot that was received can be accepted')
    }
    const { disk } = this.#options
    const record = { header, ...(await sumFile(disk, this.#path, signal)) }
    // Makes both names durable.
    await writeFileDurably(disk, this.#recordPath, encodeSnapshotRecord(record))
    this.#whole = null
    this.#accepted = record
  }

  /** Whether the accepted file is there, and what it was. @throws SnapshotDamage */
  async verify(): Promise<boolean> {
    if (this.#accepted === null) return false
    const { disk, directory } = this.#options
    if (!(await disk.list(directory)).includes(NAME)) return false
    await verifyFile(disk, this.#path, this.#accepted.sums)
    return true
  }

  /** Forgets and removes it. */
  async discard(): Promise<void> {
    const incoming = this.#incoming
    this.#incoming = null
    this.#whole = null
    this.#accepted = null
    await incoming?.file.close()
    await this.#removeFiles()
  }

  async close(): Promise<void> {
    const incoming = this.#incoming
    this.#incoming = null
    await incoming?.file.close()
  }

  async #begin(header: SnapshotHeader): Promise<Incoming> {
    if (this.#incoming !== null && sameSnapshot(this.#incoming.header, header)) {
      return this.#incoming
    }
    await this.discard()
    const { disk, directory, roomBytes } = this.#options
    const room = await roomBytes(directory)
    if (room < header.bytes) {
      throw new SnapshotRefused(
        `no room: ${header.bytes} bytes are to come, there is room for ${room}`,
      )
    }
    const file = await disk.open(this.#path, 'create')
    this.#incoming = { header, file, hash: createHash('sha256'), held: 0 }
    return this.#incoming
  }

  async #append(incoming: Incoming, bytes: Uint8Array): Promise<Received> {
    const { header, file, hash } = incoming
    if (incoming.held + bytes.length > header.bytes) {
      throw new SnapshotRefused(`more than the ${header.bytes} bytes that its header tells`)
    }
    await file.write(bytes, incoming.held)
    hash.update(bytes)
    incoming.held += bytes.length
    if (incoming.held < header.bytes) return { kind: 'held', bytes: incoming.held }
    if (hash.digest('hex') !== header.sha256) {
      throw new SnapshotRefused('its SHA-256 is not the one that its header tells')
    }
    this.#incoming = null
    this.#whole = header
    await file.close()
    return { kind: 'whole', file: this.#path }
  }

  async #readRecord(): Promise<SnapshotRecord | null> {
    const { disk, directory } = this.#options
    if (!(await disk.list(directory)).includes(RECORD)) return null
    try {
      return decodeSnapshotRecord(await readSmall(disk, this.#recordPath))
    } catch (error) {
      if (error instanceof DecodeError) {
        throw new SnapshotDamage(`${this.#recordPath}: ${error.message}`, { cause: error })
      }
      throw error
    }
  }

  async #removeFiles(): Promise<void> {
    const { disk, directory } = this.#options
    for (const name of await disk.list(directory)) {
      if (name.startsWith(NAME)) await disk.remove(join(directory, name))
    }
  }
}

/** All that a header says. */
export function sameSnapshot(a: SnapshotHeader, b: SnapshotHeader): boolean {
  return (
    a.id === b.id &&
    a.position.index === b.position.index &&
    a.position.term === b.position.term &&
    a.bytes === b.bytes &&
    a.sha256 === b.sha256 &&
    Buffer.compare(a.configuration, b.configuration) === 0
  )
}
