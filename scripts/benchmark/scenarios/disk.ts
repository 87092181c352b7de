import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Sample } from '../summary.ts'

const SIZES = [
  { name: '4k', bytes: 4 * 1024 },
  { name: '64k', bytes: 64 * 1024 },
  { name: '1m', bytes: 1024 * 1024 },
] as const
const EACH_MS = 500

/** How often a second this much is appended to a file and on the disk, one after the other; nothing else does more. */
export function measureDisk(directory: string, repetition: number): Sample[] {
  return SIZES.map(({ name, bytes }) => ({
    scenario: `disk-append-${name}`,
    ...{ target: 'disk', repetition, unit: '/s', value: appendsPerSecond(directory, bytes) },
  }))
}

function appendsPerSecond(directory: string, bytes: number): number {
  const file = join(directory, 'append-probe')
  const block = Buffer.alloc(bytes, 1)
  const descriptor = openSync(file, 'w')
  try {
    const beganMs = performance.now()
    for (let appends = 1; ; appends += 1) {
      writeSync(descriptor, block)
      fdatasyncSync(descriptor)
      const tookMs = performance.now() - beganMs
      if (tookMs >= EACH_MS) return (appends * 1_000) / tookMs
    }
  } finally {
    closeSync(descriptor)
    rmSync(file)
  }
}
