import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { readIfThere, replaceDurably, syncDirectory } from '../../os/durable-file.ts'
import { MachineDamaged } from '../state-machine.ts'

const CURRENT = 'current'
/** There while the first one is made: until then there is nothing to be named. */
const BEGINNING = 'beginning'
const NAME = /^g[1-9][0-9]{0,8}$/

/**
 * The directories of a machine whose whole state can be replaced: a file names the one that counts, and is
 * replaced at once, when the next one is complete.
 */
export class Generations {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /**
   * Path of the one that counts; null: there never was one. What a crash left is removed.
   * @throws MachineDamaged also when none is named, and nothing tells that none ever was
   */
  async current(): Promise<string | null> {
    await mkdir(this.#directory, { recursive: true })
    const name = await this.#name()
    const there = await readdir(this.#directory)
    const others = there.filter(other => NAME.test(other) && other !== name)
    if (name === null && others.length > 0 && !there.includes(BEGINNING)) {
      throw new MachineDamaged(this.#directory, `${CURRENT} is missing`)
    }
    for (const other of others) await this.#remove(other)
    if (name !== null) await this.#remove(BEGINNING)
    return name === null ? null : join(this.#directory, name)
  }

  /** Path of a new one, empty. */
  async next(): Promise<string> {
    const name = await this.#name()
    if (name === null) await replaceDurably(join(this.#directory, BEGINNING), new Uint8Array(0))
    const path = join(this.#directory, `g${Number(name?.slice(1) ?? 0) + 1}`)
    await rm(path, { recursive: true, force: true })
    await mkdir(path)
    return path
  }

  /** The next one is complete and durable: it counts from now on. */
  async choose(path: string): Promise<void> {
    await syncDirectory(this.#directory)
    const name = path.slice(this.#directory.length + 1)
    await replaceDurably(join(this.#directory, CURRENT), Buffer.from(lineOf(name)))
    await this.#remove(BEGINNING)
  }

  async #name(): Promise<string | null> {
    const bytes = await readIfThere(join(this.#directory, CURRENT))
    if (bytes === null) return null
    const text = Buffer.from(bytes).toString()
    const [name = ''] = text.split(' ')
    if (NAME.test(name) && text === lineOf(name)) return name
    throw new MachineDamaged(this.#directory, `${CURRENT} names no directory`)
  }

  async #remove(name: string): Promise<void> {
    await rm(join(this.#directory, name), { recursive: true, force: true })
  }
}

/** With a checksum: whatever it does not name is removed. */
function lineOf(name: string): string {
  return `${name} ${crc32(name).toString(16).padStart(8, '0')}\n`
}
