import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { type Disk, systemDisk, writeFileDurably } from '../log/disk.ts'
import { LogRefusal } from '../log/log-store.ts'
import type { Quarantined, QuarantineMark } from '../node/quarantine.ts'
import { asLogIndex } from '../raft/types.ts'
import { readJson } from './small-files.ts'

/** In the data directory, while the machine in it is not to be relied on. */
export const QUARANTINE = 'quarantine.json'

const hash = z.string().regex(/^[0-9a-f]{1,128}$/)
const marked = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('differs'),
    index: z.int().min(0),
    own: hash,
    majority: hash,
    since: z.string(),
  }),
  z.strictObject({ kind: z.literal('damaged'), problem: z.string(), since: z.string() }),
])

/** Why the machine is not to be relied on. */
export type Marked = z.infer<typeof marked>

/** @throws LogRefusal when the file is there, and says nothing */
export async function readMarked(disk: Disk, dataDir: string): Promise<Marked | null> {
  const file = join(dataDir, QUARANTINE)
  const found = await readJson(disk, file, marked)
  if (found === 'unreadable') throw new LogRefusal('damage', `${file}: not what was written`)
  return found
}

/** Remembers a quarantine in the data directory. */
export class QuarantineFile implements QuarantineMark {
  readonly #dataDir: string
  readonly #disk: Disk

  constructor(dataDir: string, disk: Disk = systemDisk) {
    this.#dataDir = dataDir
    this.#disk = disk
  }

  async read(): Promise<Quarantined | null> {
    const found = await readMarked(this.#disk, this.#dataDir)
    return found?.kind === 'differs' ? { ...found, index: asLogIndex(found.index) } : null
  }

  write(quarantined: Quarantined): Promise<void> {
    const text = JSON.stringify({ kind: 'differs', ...quarantined })
    return writeFileDurably(this.#disk, join(this.#dataDir, QUARANTINE), Buffer.from(text))
  }
}

/**
 * The machine was found damaged while it ran: the next start is to know, since opening it may not show it. At once, as
 * the process ends; a disk that failed may not take it, and then the damage is met again.
 */
export function markDamaged(dataDir: string, problem: string): void {
  const text = JSON.stringify({ kind: 'damaged', problem, since: new Date().toISOString() })
  try {
    writeFileSync(join(dataDir, QUARANTINE), text, { mode: 0o600, flush: true })
  } catch {
    // what stopped the node is told by whoever calls
  }
}
