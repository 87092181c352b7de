import fs from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { readIfThere, replaceDurably, syncDirectoryNow } from '../../../os/durable-file.ts'
import { MachineDamaged } from '../../state-machine.ts'
import { isUnused, type PageSums, resized, sumsOfFile } from './page-sum.ts'
import { type Seal, unsealForUse, verifySeal } from './seal.ts'
import { decodeSums, encodeRecord, encodeSums, type SumsRecord } from './sums-codec.ts'
import { knownStates } from './sums-states.ts'
import { WalScan, type WalState } from './wal-scan.ts'

/** The sums are written anew, in place of what was appended, when that outgrew them by so much. */
const APPENDED_BYTES_MAX = 256 * 1024

/**
 * Knows the checksum of every page that the database's file may hold, from `<file>.sums` beside it, and
 * so finds any byte that SQLite did not write: before the file is opened, and in each copy.
 *
 * The file changes at checkpoints only, which move pages out of the WAL; frames there have SQLite's own
 * checksums. So: the sums of what a checkpoint is going to move are durable before it begins (`record`),
 * and everything else in the file is as it was. A page that the WAL holds need not be right in the file.
 */
export class PageGuard {
  readonly #file: string
  readonly #pageBytes: number
  /** of what no longer stands in a WAL */
  #settled: PageSums
  readonly #scan: WalScan
  /** recorded of the WAL that there is now */
  #recorded: WalState = { name: null, frames: 0, pages: 0 }
  #fresh = new Map<number, number>()
  /** found in it since */
  #changed = new Map<number, number>()
  #appended = 0
  /** an append failed, and left who knows what */
  #torn = false

  private constructor(file: string, { pageBytes, sums }: Seal, scan?: WalScan) {
    this.#file = file
    this.#pageBytes = pageBytes
    this.#settled = sums
    this.#scan = scan ?? new WalScan(file, pageBytes)
  }

  /**
   * Verifies a database that nobody has open. Null: there is nothing to verify it by, as it is new, or of an
   * earlier version, or somebody took the sums away.
   * @throws MachineDamaged
   */
  static async open(file: string): Promise<PageGuard | null> {
    if ((await sizeIfThere(file)) === 0) {
      fs.rmSync(nameOf(file), { force: true })
      return null
    }
    const seal = await verifySeal(file)
    if (seal !== null) return PageGuard.unseal(file, seal)
    const bytes = await readIfThere(nameOf(file))
    if (bytes === null) return null
    const image = decodeSums(Buffer.from(bytes))
    if (image === null) throw new MachineDamaged(nameOf(file), 'its checksum differs')
    const scan = new WalScan(file, image.pageBytes)
    const inWal = new Map<number, number>()
    const wal = await scan.advance((page, sum) => inWal.set(page, sum))
    const found = await sumsOfFile(file, image.pageBytes)
    let wrong = 0
    for (const known of knownStates(image, wal)) {
      const pages = wal.frames > 0 ? wal.pages : known.pages
      wrong = firstWrong(pages, { found, known: known.sums, inWal, pageBytes: image.pageBytes })
      if (wrong > 0) continue
      const guard = new PageGuard(file, { pageBytes: image.pageBytes, sums: known.sums }, scan)
      guard.#changed = inWal
      guard.#torn = image.torn || known.records < image.records.length
      guard.#appended = bytes.length - known.sums.length * 4
      await guard.record()
      return guard
    }
    throw new MachineDamaged(file, `page ${wrong} differs from its checksum`)
  }

  /** Begins with a database that nobody has open and that is whole without its WAL, as it is found. */
  static async begin(file: string, pageBytes: number): Promise<PageGuard> {
    const sums = await sumsOfFile(file, pageBytes)
    await replaceDurably(nameOf(file), encodeSums(pageBytes, sums))
    return new PageGuard(file, { pageBytes, sums })
  }

  /** Begins with a sealed file, verified; its WAL mode and its size are then those of one that is served. */
  static unseal(file: string, seal: Seal): PageGuard {
    const staged = `${nameOf(file)}.tmp`
    fs.writeFileSync(staged, encodeSums(seal.pageBytes, seal.sums), { mode: 0o600, flush: true })
    fs.renameSync(staged, nameOf(file))
    syncDirectoryNow(dirname(file))
    unsealForUse(file, seal)
    return new PageGuard(file, seal)
  }

  /** To be called before each checkpoint: afterwards it may move what the WAL held when this was called. */
  async record(): Promise<void> {
    const before = this.#recorded
    const wal = await this.#scan.advance((page, sum) => {
      // The first of another WAL: the one before is in the database, whole.
      if (this.#scan.state.name !== this.#recorded.name) this.#settle()
      this.#changed.set(page, sum)
    })
    if (wal.name !== before.name) this.#settle()
    const news = wal.frames > this.#recorded.frames
    if (!news && !this.#torn) return
    for (const [page, sum] of this.#changed) this.#fresh.set(page, sum)
    if (this.#torn || this.#appended > APPENDED_BYTES_MAX + this.#settled.length * 4) {
      await this.#rewrite(wal)
    } else {
      await this.#append({ ...named(wal), changed: this.#changed })
    }
    this.#recorded = wal
    this.#changed = new Map()
  }

  /** How many frames of the WAL are recorded, all verified. */
  get frames(): number {
    return this.#recorded.frames
  }

  /**
   * Verifies a copy of the database as of a view that is still held.
   * @throws MachineDamaged when the copy has a page that the database never had
   */
  async verifyCopy({ sums, pageBytes }: Seal): Promise<void> {
    const strange = new Map<number, number>()
    for (const [page, sum] of sums.entries()) {
      // SQLite changes page 1 of a copy: its loose sum tells.
      if (page === 1 || isUnused(page, pageBytes)) continue
      if (this.#settled[page] !== sum && this.#fresh.get(page) !== sum) strange.set(page, sum)
    }
    if (strange.size === 0) return
    const scan = new WalScan(this.#file, pageBytes)
    await scan.advance((page, sum) => {
      if (strange.get(page) === sum) strange.delete(page)
    })
    for (const page of strange.keys()) {
      throw new MachineDamaged(this.#file, `page ${Math.max(page, 1)} differs from its checksum`)
    }
  }

  #settle(): void {
    if (this.#fresh.size > 0) {
      this.#settled = resized(this.#settled, this.#recorded.pages)
      for (const [page, sum] of this.#fresh) this.#settled[page] = sum
    }
    this.#fresh = new Map()
    this.#recorded = { name: this.#scan.state.name, frames: 0, pages: 0 }
  }

  async #rewrite(wal: WalState): Promise<void> {
    this.#torn = true
    const parts = [encodeSums(this.#pageBytes, this.#settled)]
    if (wal.frames > 0) parts.push(encodeRecord({ ...named(wal), changed: this.#fresh }))
    await replaceDurably(nameOf(this.#file), Buffer.concat(parts))
    this.#appended = 0
    this.#torn = false
  }

  async #append(record: SumsRecord): Promise<void> {
    const bytes = encodeRecord(record)
    this.#torn = true
    const handle = await open(nameOf(this.#file), 'a')
    try {
      await handle.writeFile(bytes)
      await handle.datasync()
    } finally {
      await handle.close()
    }
    this.#appended += bytes.length
    this.#torn = false
  }
}

function nameOf(file: string): string {
  return `${file}.sums`
}

async function sizeIfThere(file: string): Promise<number> {
  try {
    return (await stat(file)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}

function named({ name, frames, pages }: WalState): Omit<SumsRecord, 'changed'> {
  if (name === null) throw new Error('there is no WAL')
  return { wal: name, frames, pages }
}

/** Number of the first page that is neither in the WAL nor as it was written; 0: none is. */
function firstWrong(pages: number, { found, known, inWal, pageBytes }: Compared): number {
  for (let page = 1; page <= pages; page++) {
    if (found[page] === known[page] && page < known.length && page < found.length) continue
    if (!inWal.has(page) && !isUnused(page, pageBytes)) return page
  }
  return 0
}

interface Compared {
  readonly found: PageSums
  readonly known: PageSums
  readonly inWal: ReadonlyMap<number, number>
  readonly pageBytes: number
}
