import type { Cancel, Clock } from '../clock/clock.ts'

/** What is left to the log and to the machine, bytes, or this part of a small disk: snapshots leave as much. */
const RESERVE_BYTES = 64 * 1024 * 1024
const RESERVE_PART = 0.05
/** So much more has to be free before there is room again. */
const AGAIN = 1.25
const LOOK_MS = 1_000

export interface RoomOptions {
  /** each may be on a disk of its own */
  readonly directories: readonly string[]
  readonly clock: Clock
  /** Told when it changes; in words. */
  readonly onChange: (isShort: boolean, why: string) => void
  /** Bytes of the file system that a directory is on: what may still be written, and all. */
  readonly measure: (
    directory: string,
  ) => Promise<{ readonly free: number; readonly whole: number }>
}

/** Whether the disks have room for more than what is under way already. Looks once a second. */
export class Room {
  readonly #options: RoomOptions
  readonly #short = new Set<string>()
  #looking = false

  constructor(options: RoomOptions) {
    this.#options = options
  }

  get isShort(): boolean {
    return this.#short.size > 0
  }

  start(): Cancel {
    return this.#options.clock.every(LOOK_MS, () => void this.look())
  }

  /** A disk that does not tell is as it was: whoever writes to it will find out. */
  async look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    for (const directory of this.#options.directories) await this.#lookAt(directory)
    this.#looking = false
  }

  async #lookAt(directory: string): Promise<void> {
    const { measure, onChange } = this.#options
    const found = await measure(directory).catch(() => null)
    if (found === null) return
    const was = this.isShort
    const reserve = Math.min(RESERVE_BYTES, found.whole * RESERVE_PART)
    const wanted = this.#short.has(directory) ? reserve * AGAIN : reserve
    if (found.free < wanted) this.#short.add(directory)
    else this.#short.delete(directory)
    if (this.isShort !== was) {
      onChange(
        this.isShort,
        `${found.free} bytes free at ${directory}, ${Math.ceil(wanted)} wanted`,
      )
    }
  }
}
