import type { z } from 'zod'
import type { Disk } from '../log/disk.ts'

const BYTES_MAX = 1024 * 1024

/** Null: there is no such file. `unreadable`: it is not what was written. Rejects when that cannot be told. */
export async function readJson<Shape extends z.ZodType>(
  disk: Disk,
  path: string,
  shape: Shape,
): Promise<z.infer<Shape> | null | 'unreadable'> {
  const bytes = await readIfThere(disk, path)
  if (bytes === null) return null
  try {
    const parsed = shape.safeParse(JSON.parse(Buffer.from(bytes).toString()))
    return parsed.success ? parsed.data : 'unreadable'
  } catch {
    return 'unreadable'
  }
}

/** Not durable before `syncDirectory`. */
export async function removeIfThere(disk: Disk, path: string): Promise<void> {
  try {
    await disk.remove(path)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}

async function readIfThere(disk: Disk, path: string): Promise<Uint8Array | null> {
  try {
    const file = await disk.open(path, 'existing')
    return await file.read(0, BYTES_MAX).finally(() => file.close())
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
