import { join } from 'node:path'
import { z } from 'zod'
import { type Disk, makeDirectoryDurably, writeFileDurably } from '../log/disk.ts'
import { LogRefusal } from '../log/log-store.ts'
import { readJson, removeIfThere } from './small-files.ts'

/** Below the data directory, and below a log that is elsewhere: what was damaged, by time and reason. Never removed. */
export const DAMAGED = 'damaged'

const PLAN = 'repair.json'

const planShape = z.strictObject({
  moves: z.array(
    z.strictObject({ from: z.string(), to: z.string(), names: z.array(z.string().min(1)) }),
  ),
  /** written once all of that has moved */
  note: z.strictObject({ name: z.string().min(1), text: z.string() }).nullable(),
})

/** What is moved where; and a file of the data directory that says so, if need be. */
export type SetAside = z.infer<typeof planShape>

/**
 * Moves files out of the way, never to be removed, so that a node can begin anew beside them. A crash in the midst of
 * it is harmless: what is to be moved stands in a file of its own first, and `finishSetAside` goes on with it.
 */
export async function setAside(disk: Disk, dataDir: string, plan: SetAside): Promise<void> {
  await writeFileDurably(disk, join(dataDir, PLAN), Buffer.from(JSON.stringify(plan)))
  await finishSetAside(disk, dataDir)
}

/**
 * To be called before anything in the data directory is opened.
 * @returns whether there was anything to finish
 * @throws LogRefusal when the plan cannot be read
 */
export async function finishSetAside(disk: Disk, dataDir: string): Promise<boolean> {
  const file = join(dataDir, PLAN)
  const plan = await readJson(disk, file, planShape)
  if (plan === 'unreadable') {
    throw new LogRefusal(
      'damage',
      `${file}: not the plan of a repair; what it moved is in ${DAMAGED}/`,
    )
  }
  if (plan === null) return false
  for (const move of plan.moves) await carryOut(disk, move)
  const { note } = plan
  if (note !== null) {
    await writeFileDurably(disk, join(dataDir, note.name), Buffer.from(note.text))
  }
  await removeIfThere(disk, file)
  await disk.syncDirectory(dataDir)
  return true
}

/** What has moved already is not there any more; what has come since under another name stays. */
async function carryOut(disk: Disk, { from, to, names }: SetAside['moves'][number]): Promise<void> {
  await makeDirectoryDurably(disk, to)
  const there = new Set(await disk.list(from))
  for (const name of names) {
    if (there.has(name)) await disk.rename(join(from, name), join(to, name))
  }
  // In this order a name is in one of the two, or in both.
  await disk.syncDirectory(to)
  await disk.syncDirectory(from)
}

/** `2026-11-23T12-50-44.123Z-log`: sorts by time, and is a name on every file system. */
export function damagedName(wallMs: number, why: string): string {
  return `${new Date(wallMs).toISOString().replaceAll(':', '-')}-${why}`
}

/** The newest of them; '' when nothing was ever set aside. */
export async function newestSetAside(disk: Disk, dataDir: string): Promise<string> {
  const names = await disk.list(join(dataDir, DAMAGED)).catch(() => [])
  return names.sort().at(-1) ?? ''
}
