import { join } from 'node:path'
import { type Disk, type DiskFile, writeFileDurably } from './disk.ts'
import type { Place } from './log-outline.ts'
import { encodeHead, HEAD_BYTES, type SegmentHead } from './record.ts'

/**
 * A file that must grow costs a journal entry at each sync, so it grows in steps of zeros, written with
 * the frame that crosses a step. Measured against no steps: 0.6 times the time of a commit.
 */
const GROWTH_BYTES = 262_144

/** `0000000007.log`: padded, so that names sort as their numbers do (C10). */
export function segmentName(segment: number): string {
  return `${String(segment).padStart(10, '0')}.log`
}

/** Numbers of the segments among the names of a directory, ascending. Other names are not the log's. */
export function segmentNumbers(names: readonly string[]): number[] {
  const segments = names.filter(name => /^\d{10}\.log$/.test(name))
  return segments.map(name => Number.parseInt(name, 10)).sort((a, b) => a - b)
}

/** The segment that grows: always the last one. */
export class SegmentTail {
  readonly number: number
  readonly file: DiskFile
  /** Where the next frame goes; everything behind is zeros or not there. */
  #end: number
  #size: number

  /** @param extent `size` of the file, and the `end` of its last frame */
  constructor(number: number, file: DiskFile, extent: { end: number; size: number }) {
    this.number = number
    this.file = file
    this.#end = extent.end
    this.#size = extent.size
  }

  get end(): number {
    return this.#end
  }

  /** Resolves when the frame is durable, and says where. After a rejection it must not be called again (C6). */
  async append(frame: Uint8Array): Promise<Place> {
    const at = this.#end
    const end = at + frame.length
    let bytes = frame
    if (end > this.#size) {
      this.#size = Math.ceil(end / GROWTH_BYTES) * GROWTH_BYTES
      bytes = new Uint8Array(this.#size - at)
      bytes.set(frame)
    }
    try {
      await this.file.write(bytes, at)
    } catch (cause) {
      throw new Error(`append to segment ${this.number}`, { cause })
    }
    this.#end = end
    return { segment: this.number, at, end }
  }
}

/** A new segment without frames. Durable, its name included, when it resolves: it never has a torn head. */
export async function createSegment(
  disk: Disk,
  directory: string,
  head: SegmentHead,
): Promise<SegmentTail> {
  const path = join(directory, segmentName(head.segment))
  try {
    await writeFileDurably(disk, path, encodeHead(head))
    const file = await disk.open(path, 'existing')
    return new SegmentTail(head.segment, file, { end: HEAD_BYTES, size: HEAD_BYTES })
  } catch (cause) {
    throw new Error(`create segment ${head.segment}`, { cause })
  }
}
