import { join } from 'node:path'
import { AssertionError, assert } from '../lib/assert.ts'
import { DecodeError } from '../lib/bytes.ts'
import {
  asLogIndex,
  type Entry,
  type Identity,
  type LogIndex,
  type LogPosition,
  type SnapshotHeader,
} from '../raft/types.ts'
import { type Disk, type DiskFile, makeDirectoryDurably, systemDisk } from './disk.ts'
import { decodeSpan } from './frame-scan.ts'
import { compaction, emptyFrame, marking, resetting, type Span, summarize } from './log-outline.ts'
import { type LogBatch, LogRefusal, type LogState, type LogStore } from './log-store.ts'
import { encodeFrame, type FrameSummary, saltOf } from './record.ts'
import { type OpenLog, recover } from './recovery.ts'
import { createSegment, segmentName } from './segment.ts'

/** Settings of a `SegmentLogStore`. */
export interface SegmentLogOptions {
  /** Of the log alone; made if missing. */
  readonly directory: string
  /** The node has taken part in its cluster: a log that is not there was lost. Default false. */
  readonly mustExist?: boolean
  /** A new segment starts once the last one is so large; default 64 MiB. */
  readonly segmentBytes?: number
  /** Default: the machine's. */
  readonly disk?: Disk
}

/** An open log, its owner and the right to it. */
interface Owned extends OpenLog {
  readonly identity: Identity
  readonly salt: number
  readonly lock: { release(): void }
}

/** The durable log: files of frames, one write a batch, durable when the write returns. */
export class SegmentLogStore implements LogStore {
  readonly #directory: string
  readonly #mustExist: boolean
  readonly #segmentBytes: number
  readonly #disk: Disk
  #log: Owned | null = null
  /** Set once and for all by the first failed write (C6). */
  #failure: unknown = null
  #persisting = false
  /** The write under way; each waits for the one before it. */
  #writing: Promise<void> = Promise.resolve()
  /** Files are dropped one call at a time. */
  #dropping: Promise<void> = Promise.resolve()
  readonly #reading = new Set<Promise<unknown>>()
  /** Calls that use the files: `close` waits for them. */
  readonly #running = new Set<Promise<unknown>>()

  constructor(options: SegmentLogOptions) {
    const { directory, mustExist = false, segmentBytes = 64 * 2 ** 20, disk = systemDisk } = options
    this.#directory = directory
    this.#mustExist = mustExist
    this.#segmentBytes = segmentBytes
    this.#disk = disk
  }

  async open(identity: Identity): Promise<LogState> {
    assert(this.#log === null && this.#failure === null, 'a log store is opened once')
    await makeDirectoryDurably(this.#disk, this.#directory)
    const lock = this.#disk.lock(join(this.#directory, 'owner.lock'))
    if (lock === null)
      throw new LogRefusal('owner', `${this.#directory}: in use by another process`)
    try {
      const log = await recover(this.#disk, this.#directory, {
        identity,
        mustExist: this.#mustExist,
      })
      this.#log = { ...log, identity, salt: saltOf(identity), lock }
      return log.outline.state()
    } catch (cause) {
      lock.release()
      throw cause
    }
  }

  state(): LogState {
    return this.#opened().outline.state()
  }

  bytesAfter(index: LogIndex): number {
    return this.#opened().outline.bytesAfter(index)
  }

  persist(batch: LogBatch): Promise<void> {
    return this.#run(this.#persist(batch))
  }

  read(from: LogIndex, upTo: LogIndex, bytesMax: number): Promise<readonly Entry[]> {
    const read = this.#run(this.#read(from, upTo, bytesMax))
    this.#reading.add(read)
    const done = () => void this.#reading.delete(read)
    read.then(done, done)
    return read
  }

  compact(base: LogPosition): Promise<void> {
    return this.#run(
      this.#record(log => compaction(log.outline, base)).then(() => this.#dropFiles()),
    )
  }

  mark(header: SnapshotHeader): Promise<void> {
    return this.#run(this.#record(log => marking(log.outline, header)))
  }

  reset(header: SnapshotHeader): Promise<void> {
    return this.#run(
      this.#record(log => resetting(log.outline, header)).then(() => this.#dropFiles()),
    )
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#running)
    const log = this.#log
    if (log === null) return
    this.#log = null
    try {
      if (this.#failure === null)
        await this.#write(log, emptyFrame('closed', log.outline.hardState), [])
    } finally {
      for (const file of log.files.values()) await file.close()
      log.lock.release()
    }
  }

  async #persist(batch: LogBatch): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    if (this.#persisting) this.#fail(new AssertionError('one persist at a time'))
    this.#persisting = true
    await this.#record(() => summarize(batch), batch.entries)
    this.#persisting = false
  }

  /** Writes the frame that `plan` makes of the log as it is then, if any, behind all that was asked before. */
  #record(
    plan: (log: Owned) => FrameSummary | null,
    entries: readonly Entry[] = [],
  ): Promise<void> {
    const write = async () => {
      if (this.#failure !== null) throw this.#failure
      try {
        const log = this.#opened()
        const summary = plan(log)
        if (summary === null) return
        log.outline.check(summary)
        if (log.tail.end >= this.#segmentBytes) await this.#roll(log)
        await this.#write(log, summary, entries)
      } catch (cause) {
        this.#fail(cause)
      }
    }
    this.#writing = this.#writing.then(write, write)
    return this.#writing
  }

  #fail(cause: unknown): never {
    this.#failure ??= cause
    throw cause
  }

  /**
   * Removes the files that hold nothing of the log any more, newest first: the gap that a crash leaves
   * tells where a replay may begin, as it may not in the midst of what was dropped.
   */
  #dropFiles(): Promise<void> {
    const drop = async () => {
      if (this.#failure !== null) throw this.#failure
      const log = this.#opened()
      const needed = log.outline.firstNeeded()
      const dropped = [...log.files].filter(([segment]) => segment < needed)
      if (dropped.length === 0) return
      try {
        await this.#drop(log, dropped)
      } catch (cause) {
        this.#fail(new Error('drop segments of the log', { cause }))
      }
    }
    this.#dropping = this.#dropping.then(drop, drop)
    return this.#dropping
  }

  async #drop(log: Owned, files: readonly (readonly [number, DiskFile])[]): Promise<void> {
    for (const [segment] of files) log.files.delete(segment)
    for (const [segment] of [...files].reverse()) {
      await this.#disk.remove(join(this.#directory, segmentName(segment)))
      await this.#disk.syncDirectory(this.#directory)
    }
    // A read that began before goes on in the file that it has.
    await Promise.allSettled(this.#reading)
    for (const [, file] of files) await file.close()
  }

  async #write(log: Owned, summary: FrameSummary, entries: readonly Entry[]): Promise<void> {
    const { sequence, salt } = log
    const place = await log.tail.append(encodeFrame(summary, entries, { sequence, salt }))
    log.sequence = sequence + 1
    log.outline.add(summary, place)
  }

  /** The next segment first, the seal second: so a sealed segment without a next one proves a lost file. */
  async #roll(log: Owned): Promise<void> {
    const { identity, sequence } = log
    const segment = log.tail.number + 1
    const head = { segment, sequence: sequence + 1, identity, start: log.outline.last }
    const next = await createSegment(this.#disk, this.#directory, head)
    log.files.set(segment, next.file)
    await this.#write(log, emptyFrame('sealed', log.outline.hardState), [])
    log.outline.startSegment(segment)
    log.tail = next
  }

  async #read(from: LogIndex, upTo: LogIndex, bytesMax: number): Promise<readonly Entry[]> {
    const log = this.#opened()
    const entries: Entry[] = []
    let bytes = 0
    // The files now: a compaction may drop them from the log while they are read.
    const spans = log.outline.spans(from, upTo)
    const places = spans.map(span => ({ span, file: log.files.get(span.segment) }))
    for (const { span, file } of places) {
      const wanted = {
        from: asLogIndex(Math.max(from, span.first)),
        upTo: asLogIndex(Math.min(upTo, span.last)),
      }
      for (const entry of await this.#readSpan({ span, file, salt: log.salt }, wanted)) {
        bytes += entry.payload.length
        if (bytes > bytesMax && entries.length > 0) return detach(entries)
        entries.push(entry)
      }
    }
    return detach(entries)
  }

  async #readSpan(
    { span, file, salt }: { span: Span; file: DiskFile | undefined; salt: number },
    wanted: { from: LogIndex; upTo: LogIndex },
  ): Promise<Entry[]> {
    const { segment, at, end } = span
    const where = `${join(this.#directory, segmentName(segment))}, offset ${at}`
    try {
      if (file === undefined) throw new DecodeError('the segment is not open')
      const bytes = await file.read(at, end - at)
      if (bytes.length < end - at) throw new DecodeError('the file is cut short')
      const entries = decodeSpan(bytes, salt, wanted)
      const isComplete = entries.length === wanted.upTo - wanted.from + 1
      if (!isComplete) throw new DecodeError(`entries ${wanted.from} to ${wanted.upTo} are missing`)
      return entries
    } catch (cause) {
      throw new Error(`read the log: ${where}`, { cause })
    }
  }

  #opened(): Owned {
    assert(this.#log !== null, 'the log is open')
    return this.#log
  }

  #run<Result>(call: Promise<Result>): Promise<Result> {
    this.#running.add(call)
    const done = () => void this.#running.delete(call)
    call.then(done, done)
    return call
  }
}

/** Copies the payloads together, so that an entry that lives long keeps no whole stretch of file alive. */
function detach(entries: readonly Entry[]): Entry[] {
  let size = 0
  for (const { payload } of entries) size += payload.length
  const bytes = new Uint8Array(size)
  let at = 0
  return entries.map(({ index, term, kind, payload }) => {
    const start = at
    at += payload.length
    bytes.set(payload, start)
    return { index, term, kind, payload: bytes.subarray(start, at) }
  })
}
