import { join } from 'node:path'
import { DecodeError } from '../lib/bytes.ts'
import { type Identity, ORIGIN } from '../raft/types.ts'
import type { Disk, DiskFile } from './disk.ts'
import { type ScanEnd, scanSegment } from './frame-scan.ts'
import { LogOutline } from './log-outline.ts'
import { LogRefusal, type RefusalReason } from './log-store.ts'
import { decodeHead, HEAD_BYTES, OtherFormat, type SegmentHead, saltOf } from './record.ts'
import { createSegment, SegmentTail, segmentName, segmentNumbers } from './segment.ts'

/** A log that was verified from its first byte to its last, and is ready to grow. */
export interface OpenLog {
  readonly outline: LogOutline
  /** Open files by number of segment, the tail's included. */
  readonly files: Map<number, DiskFile>
  /** The last segment. */
  tail: SegmentTail
  /** Of the next frame. */
  sequence: number
}

/**
 * Reads the whole log of a directory, or creates an empty one unless it must exist. Changes files only to cut a torn tail (C4).
 * On a rejection every file is closed.
 * @throws LogRefusal naming file and offset (C5, C9)
 */
export async function recover(
  disk: Disk,
  directory: string,
  { identity, mustExist }: { readonly identity: Identity; readonly mustExist: boolean },
): Promise<OpenLog> {
  // A name that a dead run left may not be durable yet.
  await disk.syncDirectory(directory)
  const segments = segmentNumbers(await disk.list(directory))
  const files = new Map<number, DiskFile>()
  try {
    if (segments.length === 0) {
      if (mustExist) {
        throw new LogRefusal(
          'lost',
          `${directory}: the log is gone, although this node has taken part in its cluster; what it promised there is lost with it`,
        )
      }
      const head = { segment: 1, sequence: 1, identity, start: ORIGIN }
      const tail = await createSegment(disk, directory, head)
      files.set(1, tail.file)
      const outline = new LogOutline()
      outline.startSegment(1)
      return { outline, files, tail, sequence: 1 }
    }
    // A compaction that was cut short leaves a gap, and before it what it had not yet removed.
    const oldest = segments.findLastIndex((segment, at) => segments[at - 1] !== segment - 1)
    for (const segment of segments.slice(oldest)) {
      files.set(segment, await disk.open(join(directory, segmentName(segment)), 'existing'))
    }
    const log = await new Recovery(disk, directory, identity).run(files)
    for (const segment of segments.slice(0, oldest).reverse()) {
      await disk.remove(join(directory, segmentName(segment)))
      await disk.syncDirectory(directory)
    }
    return log
  } catch (cause) {
    for (const file of files.values()) await file.close()
    throw cause
  }
}

/** One pass over all segments. */
class Recovery {
  readonly #disk: Disk
  readonly #directory: string
  readonly #identity: Identity
  #outline = new LogOutline()
  /** of the next frame; null before the first segment, which need not be number 1 */
  #sequence: number | null = null
  /** Where the last frame of the present segment starts. */
  #lastFrame = HEAD_BYTES

  constructor(disk: Disk, directory: string, identity: Identity) {
    this.#disk = disk
    this.#directory = directory
    this.#identity = identity
  }

  async run(files: Map<number, DiskFile>): Promise<OpenLog> {
    for (const [segment, file] of files) {
      const bytes = await file.read(0, await file.size())
      const end = this.#scan(segment, bytes)
      if (end.kind === 'damaged') throw this.#refusal(segment, end.at, end.why)
      this.#sequence = end.sequence
      if (end.kind === 'whole' && end.last === 'sealed') {
        if (!files.has(segment + 1)) break
        if (!files.has(segment + 2)) await this.#rewriteLastFrame(file, bytes, end.end)
        continue
      }
      if (!this.#outline.isExplained) break
      await this.#dropUnused(segment + 1, files, end)
      const tail = await this.#tail(segment, file, { bytes, end })
      return { outline: this.#outline, files, tail, sequence: end.sequence }
    }
    const [oldest = 1] = files.keys()
    const missing = this.#outline.isExplained ? oldest + files.size : oldest - 1
    throw new LogRefusal('lost', `${this.#directory}: segment ${missing} is missing`)
  }

  async #tail(
    segment: number,
    file: DiskFile,
    { bytes, end }: { bytes: Uint8Array; end: Exclude<ScanEnd, { kind: 'damaged' }> },
  ): Promise<SegmentTail> {
    const isTorn = end.kind === 'torn'
    if (isTorn) await file.truncate(end.end)
    else await this.#rewriteLastFrame(file, bytes, end.end)
    return new SegmentTail(segment, file, { end: end.end, size: isTorn ? end.end : bytes.length })
  }

  /**
   * A run that died in its write, or after a failed sync, may have left the last frame in the page cache
   * alone, where it only looks durable. The last frame of all is that of the tail, or the seal before it.
   */
  async #rewriteLastFrame(file: DiskFile, bytes: Uint8Array, end: number): Promise<void> {
    await file.write(bytes.subarray(this.#lastFrame, end), this.#lastFrame)
  }

  #scan(segment: number, bytes: Uint8Array): ScanEnd {
    const head = this.#head(segment, bytes)
    if (this.#sequence === null) this.#outline = new LogOutline(head.start)
    else this.#requireNext(head, this.#sequence)
    this.#outline.startSegment(segment)
    this.#lastFrame = HEAD_BYTES
    const first = { sequence: head.sequence, salt: saltOf(this.#identity) }
    return scanSegment(bytes, first, (summary, at, end) => {
      this.#outline.check(summary)
      this.#outline.add(summary, { segment, at, end })
      this.#lastFrame = at
    })
  }

  #requireNext({ segment, sequence, start }: SegmentHead, expected: number): void {
    if (sequence !== expected) {
      const why = `starts at frame ${sequence}, the one before ends at ${expected - 1}`
      throw this.#refusal(segment, 0, why, 'lost')
    }
    const { last } = this.#outline
    if (start.index === last.index && start.term === last.term) return
    const why = `begins behind entry ${start.index}, the one before ends at ${last.index}`
    throw this.#refusal(segment, 0, why, 'lost')
  }

  /** A segment exists before the one before it is sealed; a crash between leaves it unused, the seal torn or absent. */
  async #dropUnused(
    segment: number,
    files: Map<number, DiskFile>,
    before: { readonly end: number },
  ): Promise<void> {
    const file = files.get(segment)
    if (file === undefined) return
    this.#head(segment, await file.read(0, HEAD_BYTES))
    if (files.has(segment + 1) || (await file.size()) > HEAD_BYTES) {
      throw this.#refusal(segment - 1, before.end, 'no seal, but later segments were written')
    }
    files.delete(segment)
    await file.close()
    await this.#disk.remove(join(this.#directory, segmentName(segment)))
    await this.#disk.syncDirectory(this.#directory)
  }

  #head(segment: number, bytes: Uint8Array): SegmentHead {
    const head = this.#decodeHead(segment, bytes)
    const { clusterId, nodeId, incarnation } = head.identity
    const own = this.#identity
    if (clusterId !== own.clusterId || nodeId !== own.nodeId || incarnation !== own.incarnation) {
      const owner = `node ${nodeId} of cluster ${clusterId}, incarnation ${incarnation}`
      throw this.#refusal(segment, 0, `belongs to ${owner}`, 'identity')
    }
    if (head.segment !== segment) {
      throw this.#refusal(segment, 0, `is segment ${head.segment}`, 'lost')
    }
    return head
  }

  #decodeHead(segment: number, bytes: Uint8Array): SegmentHead {
    try {
      return decodeHead(bytes)
    } catch (cause) {
      if (cause instanceof DecodeError) throw this.#refusal(segment, 0, cause.message)
      if (cause instanceof OtherFormat) {
        throw this.#refusal(segment, 0, cause.message, 'identity')
      }
      throw cause
    }
  }

  #refusal(
    segment: number,
    offset: number,
    why: string,
    reason: RefusalReason = 'damage',
  ): LogRefusal {
    const path = join(this.#directory, segmentName(segment))
    return new LogRefusal(reason, `${path}, offset ${offset}: ${why}`)
  }
}
