import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { DecodeError } from '../lib/bytes.ts'
import { freeSpace } from '../os/free-space.ts'
import type { LogPosition, SnapshotHeader } from '../raft/types.ts'
import { type Disk, makeDirectoryDurably, systemDisk, writeFileDurably } from './disk.ts'
import {
  copyVerified,
  readSmall,
  SnapshotDamage,
  sumFile,
  VerifiedFile,
  verifyFile,
} from './snapshot-file.ts'
import {
  decodeSnapshotRecord,
  encodeSnapshotRecord,
  ownHeader,
  type SnapshotRecord,
} from './snapshot-record.ts'
import {
  type Received,
  type SnapshotPiece,
  SnapshotStaging,
  sameSnapshot,
} from './snapshot-staging.ts'

export { SnapshotDamage } from './snapshot-file.ts'
export { SnapshotRefused, sameSnapshot } from './snapshot-staging.ts'

/** Of a file system this much stays free, bytes; of a small one this part. */
const RESERVE_BYTES = 64 * 1024 * 1024
const RESERVE_PART = 0.05

const RECORD = '.record'
const FILE = '.snapshot'
const BUILD = 'build'
const CHECKED_OUT = 'checked-out'

/** A snapshot of this node's, whole and durable; the header is of the file as it is. It is read and sent, and never given away. */
export interface StoredSnapshot {
  readonly header: SnapshotHeader
  readonly file: string
}

/** What a state machine gives to be stored. */
export interface SnapshotSource {
  readonly applied: LogPosition & { readonly configuration: Uint8Array }
  /** Writes and fsyncs a file. */
  writeTo(file: string): Promise<void>
}

export interface SnapshotStoreOptions {
  /** Made if it is not there. Nothing else is kept in it. */
  readonly directory: string
  /** Snapshots of its own that are kept, the newest. */
  readonly retain: number
  readonly disk?: Disk
  /** How much may be written to the file system of a directory. */
  readonly roomBytes?: (directory: string) => Promise<number>
  /** Something here is not what was written, and is not used. */
  readonly onDamage?: (words: string) => void
}

/**
 * The snapshots of one node: its own, and the one that it receives. Beside each file stands a record with
 * its own checksum that tells which position it is of, and the checksum of each piece: no name is
 * trusted, and no piece is used or sent that is not the one that was written.
 */
export class SnapshotStore {
  readonly #directory: string
  readonly #retain: number
  readonly #disk: Disk
  readonly #roomBytes: (directory: string) => Promise<number>
  readonly #onDamage: (words: string) => void
  readonly #staging: SnapshotStaging
  /** the newest first */
  #stored: readonly SnapshotRecord[] = []
  readonly #pins = new Map<string, number>()
  #building = false
  /** ends with what the staging is doing */
  #staged: Promise<unknown> = Promise.resolve()

  constructor(options: SnapshotStoreOptions) {
    const { directory, retain, disk = systemDisk, roomBytes = roomOn } = options
    this.#directory = directory
    this.#retain = retain
    this.#disk = disk
    this.#roomBytes = roomBytes
    this.#onDamage = options.onDamage ?? (() => {})
    this.#staging = new SnapshotStaging({ directory, disk, roomBytes })
  }

  /**
   * Removes what a former run left unfinished; the first call.
   * @param marked whose install was begun: what is staged stays
   * @returns the newest snapshot of its own
   */
  async open(marked: SnapshotHeader | null): Promise<StoredSnapshot | null> {
    await makeDirectoryDurably(this.#disk, this.#directory)
    const names = new Set(await this.#disk.list(this.#directory))
    const records: SnapshotRecord[] = []
    for (const name of names) {
      if (!name.endsWith(RECORD) || isStaged(name)) continue
      const found = await this.#load(name.slice(0, -RECORD.length), names)
      if (found !== null) records.push(found)
    }
    this.#stored = records.sort(newestFirst)
    const used = new Set(records.flatMap(({ header }) => [header.id + FILE, header.id + RECORD]))
    for (const name of names) {
      if (isOurs(name) && !isStaged(name) && !used.has(name))
        await this.#disk.remove(join(this.#directory, name))
    }
    await this.#staging.open(marked).catch(error => this.#report(error))
    await this.#prune()
    return this.newest()
  }

  newest(): StoredSnapshot | null {
    const [record] = this.#stored
    return record === undefined ? null : this.#storedOf(record)
  }

  /** Whether there is more than what has to stay free. */
  async hasRoom(): Promise<boolean> {
    return (await this.#roomBytes(this.#directory)) > 0
  }

  /** One at a time. Rejects with nothing left of it when it cannot be written, or with the signal's reason. */
  async build({ applied, writeTo }: SnapshotSource, signal?: AbortSignal): Promise<StoredSnapshot> {
    if (this.#building) throw new Error('a snapshot is being built')
    this.#building = true
    const file = join(this.#directory, BUILD)
    try {
      await writeTo(file)
      const { sums, sha256 } = await sumFile(this.#disk, file, signal)
      const { index, term, configuration } = applied
      const position = { index, term }
      const id = `${padded(index)}-${padded(term)}-${randomBytes(4).toString('hex')}`
      const header = { position, configuration, id, bytes: sums.bytes, sha256 }
      return await this.#take({ header, sums, sha256 }, file)
    } catch (error) {
      await this.#removeAll(name => name.startsWith(BUILD))
      throw error
    } finally {
      this.#building = false
    }
  }

  /** Being sent: not removed until released. */
  pin(id: string): () => void {
    this.#pins.set(id, (this.#pins.get(id) ?? 0) + 1)
    let pinned = true
    return () => {
      if (!pinned) return
      pinned = false
      const others = (this.#pins.get(id) ?? 1) - 1
      if (others > 0) this.#pins.set(id, others)
      else this.#pins.delete(id)
      this.#prune().catch(error => this.#report(error))
    }
  }

  /**
   * To be read in pieces, each of them verified. It stays readable when it is removed meanwhile.
   * @throws SnapshotDamage, as does every read
   */
  async read({ header }: StoredSnapshot): Promise<VerifiedFile> {
    const record = this.#recordOf(header.id)
    return VerifiedFile.open(this.#disk, this.#pathOf(header.id), record.sums)
  }

  /** Not what was written: it is not offered again, and removed. */
  async drop({ header }: StoredSnapshot): Promise<void> {
    this.#stored = this.#stored.filter(record => record.header.id !== header.id)
    await this.#remove(header.id)
  }

  /**
   * A copy to be inspected and restored, which changes it and may take it away.
   * @throws SnapshotDamage, and does not offer this snapshot again
   */
  async checkOut(stored: StoredSnapshot): Promise<string> {
    const { sums } = this.#recordOf(stored.header.id)
    const copy = join(this.#directory, CHECKED_OUT)
    await this.dropCheckedOut()
    try {
      await copyVerified(this.#disk, stored.file, sums, copy)
      await this.#disk.syncDirectory(this.#directory)
      return copy
    } catch (error) {
      await this.dropCheckedOut()
      if (error instanceof SnapshotDamage) await this.drop(stored)
      throw error
    }
  }

  /** The copy is not needed any more, if it is still there. */
  dropCheckedOut(): Promise<void> {
    return this.#removeAll(name => name.startsWith(CHECKED_OUT))
  }

  /**
   * Another node's. Pieces that do not follow what is held change nothing; another snapshot takes the place
   * of the one before.
   * @throws SnapshotRefused | the error of the system; nothing of it is left
   */
  receive(piece: SnapshotPiece): Promise<Received> {
    return this.#alone(() => this.#staging.receive(piece))
  }

  /** What was received whole is what will be installed, as its file is now. Durable when it resolves. */
  accept(header: SnapshotHeader, signal?: AbortSignal): Promise<void> {
    return this.#alone(() => this.#staging.accept(header, signal))
  }

  /** File of the accepted snapshot of this name. */
  staged(id: string): string | null {
    return this.#staging.accepted?.header.id === id ? this.#staging.path : null
  }

  /** The file from which an install that was begun can be finished, verified; null: it is not there. */
  async markedFile(header: SnapshotHeader): Promise<string | null> {
    const accepted = this.#staging.accepted
    try {
      if (accepted !== null && sameSnapshot(accepted.header, header)) {
        if (await this.#staging.verify()) return this.#staging.path
      }
      const record = this.#stored.find(stored => sameSnapshot(stored.header, header))
      if (record === undefined) return null
      await verifyFile(this.#disk, this.#pathOf(header.id), record.sums)
      return this.#pathOf(header.id)
    } catch (error) {
      if (!(error instanceof SnapshotDamage)) throw error
      this.#report(error)
      return null
    }
  }

  /** The accepted snapshot becomes one of this node's own: for a machine that keeps its state nowhere else. */
  adopt(header: SnapshotHeader): Promise<StoredSnapshot> {
    return this.#alone(async () => {
      const known = this.#stored.find(record => sameSnapshot(record.header, header))
      const accepted = this.#staging.accepted
      if (known !== undefined) return this.#storedOf(known)
      if (accepted === null || !sameSnapshot(accepted.header, header)) {
        throw new Error('only a snapshot that was accepted can be adopted')
      }
      const stored = await this.#take(accepted, this.#staging.path)
      await this.#staging.discard()
      return stored
    })
  }

  /** What was received is installed, or refused: nothing of it is left. */
  dropStaged(): Promise<void> {
    return this.#alone(() => this.#staging.discard())
  }

  /** Leaves the files as they are. */
  async close(): Promise<void> {
    await this.#alone(() => this.#staging.close())
  }

  /** The record first, then the file under its name: a file without a record is a leftover, and so is a record without a file. */
  async #take(record: SnapshotRecord, file: string): Promise<StoredSnapshot> {
    const { id } = record.header
    await writeFileDurably(
      this.#disk,
      join(this.#directory, id + RECORD),
      encodeSnapshotRecord(record),
    )
    await this.#disk.rename(file, this.#pathOf(id))
    await this.#disk.syncDirectory(this.#directory)
    this.#stored = [...this.#stored, record].sort(newestFirst)
    await this.#prune()
    return this.#storedOf(record)
  }

  async #load(id: string, names: ReadonlySet<string>): Promise<SnapshotRecord | null> {
    // Left by a build or a removal that was cut short.
    if (!names.has(id + FILE)) return null
    try {
      const record = decodeSnapshotRecord(
        await readSmall(this.#disk, join(this.#directory, id + RECORD)),
      )
      if (record.header.id !== id) throw new DecodeError(`is of ${record.header.id}`)
      const file = await VerifiedFile.open(this.#disk, this.#pathOf(id), record.sums)
      await file.close()
      return record
    } catch (error) {
      if (!(error instanceof DecodeError || error instanceof SnapshotDamage)) throw error
      this.#onDamage(`the snapshot ${id} is not used: ${error.message}`)
      return null
    }
  }

  async #prune(): Promise<void> {
    const isKept = ({ header }: SnapshotRecord, at: number) =>
      at < this.#retain || this.#pins.has(header.id)
    const gone = this.#stored.filter((record, at) => !isKept(record, at))
    this.#stored = this.#stored.filter(record => !gone.includes(record))
    for (const { header } of gone) await this.#remove(header.id)
  }

  async #remove(id: string): Promise<void> {
    await this.#removeAll(name => name === id + FILE)
    await this.#removeAll(name => name === id + RECORD)
  }

  async #removeAll(isMeant: (name: string) => boolean): Promise<void> {
    for (const name of await this.#disk.list(this.#directory)) {
      if (isMeant(name)) await this.#disk.remove(join(this.#directory, name))
    }
  }

  /** One use of the staging after the other, whoever asks. */
  #alone<T>(use: () => Promise<T>): Promise<T> {
    const used = this.#staged.then(use)
    this.#staged = used.catch(() => {})
    return used
  }

  #recordOf(id: string): SnapshotRecord {
    const record = this.#stored.find(({ header }) => header.id === id)
    if (record === undefined) throw new SnapshotDamage(`the snapshot ${id} is not there any more`)
    return record
  }

  #storedOf(record: SnapshotRecord): StoredSnapshot {
    return { header: ownHeader(record), file: this.#pathOf(record.header.id) }
  }

  #pathOf(id: string): string {
    return join(this.#directory, id + FILE)
  }

  #report(error: unknown): void {
    this.#onDamage(error instanceof Error ? error.message : String(error))
  }
}

function newestFirst(a: SnapshotRecord, b: SnapshotRecord): number {
  const [one, other] = [a.header, b.header]
  return (
    other.position.index - one.position.index ||
    other.position.term - one.position.term ||
    (one.id < other.id ? 1 : -1)
  )
}

/** Names that this program gives; nothing else is removed. */
function isOurs(name: string): boolean {
  return /^(?:build|checked-out)|^[0-9a-z-]+\.(?:record|record\.tmp|snapshot)$/.test(name)
}

/** Cared for by the staging itself. */
function isStaged(name: string): boolean {
  return name.startsWith('staging')
}

function padded(value: number): string {
  return String(value).padStart(16, '0')
}

/** All that is free but a reserve: the log needs that more. */
async function roomOn(directory: string): Promise<number> {
  const { free, whole } = await freeSpace(directory)
  return free - Math.min(RESERVE_BYTES, whole * RESERVE_PART)
}
