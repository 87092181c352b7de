/**
 * The bytes of the log. A segment is one head, then frames without gaps, then zeros. One frame is one
 * batch: hard state, truncation and entries share a checksum, so they are whole or absent together.
 */
import { ByteReader, ByteWriter, DecodeError } from '../lib/bytes.ts'
import { crc32c } from '../lib/crc32c.ts'
import { decodeEntry, ENTRY_OVERHEAD_BYTES, encodeEntry } from '../raft/entry-codec.ts'
import {
  asLogIndex,
  asNodeId,
  asTerm,
  type Entry,
  type HardState,
  type Identity,
  type LogIndex,
  type LogPosition,
  type SnapshotHeader,
  type TermBorder,
} from '../raft/types.ts'

/** Size of a segment's head; frames start behind it. */
export const HEAD_BYTES = 1024
/** Size of a frame's header; its body follows at once. */
export const HEADER_BYTES = 24
/** Larger frames are refused: one read call of Node ends at 2 GiB. */
export const FRAME_BYTES_MAX = 2 ** 30

const HEAD_MAGIC = 0x32474c52 // "RLG2"
const FRAME_MAGIC = 0x4652_4c9d // begins with a byte that is not ASCII, so that text seldom holds it
const KINDS = ['batch', 'sealed', 'closed', 'compacted', 'marked', 'reset'] as const

/** What a frame says about itself, without the payloads of its entries. */
export interface FrameSummary {
  /**
   * `sealed`: the next segment exists, and goes on. `closed`: a clean stop. `compacted`: a new base.
   * `marked`, `reset`: an install begins, and ends. Only a `batch` has entries.
   */
  readonly kind: (typeof KINDS)[number]
  readonly hardState: HardState
  readonly truncateFrom: LogIndex | null
  /** Index of the first entry; without entries 0. */
  readonly first: LogIndex
  readonly count: number
  /** First index of every term among the entries, ascending. */
  readonly borders: readonly TermBorder[]
  /** Of `compacted` and `reset` the new base. */
  readonly base: LogPosition | null
  /** Of `marked` the snapshot. */
  readonly header: SnapshotHeader | null
  /** Of `reset`: the log held the new base, and keeps what follows it. */
  readonly kept: boolean
}

/** Where a frame stands in the sequence of all writes, and what ties it to its owner (see `saltOf`). */
export interface FrameStamp {
  /** 1 for the first frame of the log; then one more for each, across segments. */
  readonly sequence: number
  readonly salt: number
}

/** A frame's header once its own checksum has proved it. */
export interface FrameHeader {
  readonly sequence: number
  /** Header and body. */
  readonly frameBytes: number
  readonly bodyCrc: number
}

/** First bytes of every segment (C9). */
export interface SegmentHead {
  /** 1 for the first segment; consecutive. */
  readonly segment: number
  /** Sequence of the segment's first frame. */
  readonly sequence: number
  /** Last entry of the log when the segment began. */
  readonly start: LogPosition
  readonly identity: Identity
}

/** Exactly HEAD_BYTES. @throws RangeError if a name of the identity is longer than 255 characters */
export function encodeHead(head: SegmentHead): Uint8Array {
  const writer = new ByteWriter(HEAD_BYTES).u32(HEAD_MAGIC).f64(head.segment).f64(head.sequence)
  const { clusterId, nodeId, incarnation } = head.identity
  writer.ascii(clusterId).ascii(nodeId).ascii(incarnation)
  encodePosition(writer, head.start)
  writer.raw(new Uint8Array(HEAD_BYTES - 4 - writer.length))
  return writer.u32(crc32c(writer.view())).view()
}

/** Whole, and not of this version: another program wrote it. */
export class OtherFormat extends Error {
  override readonly name = 'OtherFormat'
}

/** @throws DecodeError | OtherFormat */
export function decodeHead(bytes: Uint8Array): SegmentHead {
  if (bytes.length < HEAD_BYTES) throw new DecodeError('the head is cut short')
  const crc = new ByteReader(bytes, HEAD_BYTES - 4).u32()
  if (crc !== crc32c(bytes, 0, HEAD_BYTES - 4)) throw new DecodeError('the head is damaged')
  const reader = new ByteReader(bytes)
  if (reader.u32() !== HEAD_MAGIC) throw new OtherFormat('not a log segment of this version')
  const segment = reader.f64()
  const sequence = reader.f64()
  const clusterId = reader.ascii()
  const nodeId = asNodeId(reader.ascii())
  const identity = { clusterId, nodeId, incarnation: reader.ascii() }
  return { segment, sequence, identity, start: decodePosition(reader) }
}

/**
 * Mixed into every header's checksum: bytes that only look like a frame, because a client stored
 * them as a value, must not count as one when recovery searches the rest of a damaged file.
 */
export function saltOf({ clusterId, nodeId, incarnation }: Identity): number {
  return crc32c(new ByteWriter().ascii(clusterId).ascii(nodeId).ascii(incarnation).view())
}

/**
 * One frame in one buffer, which the caller owns.
 * @param entries as `summary` describes them
 */
export function encodeFrame(
  summary: FrameSummary,
  entries: readonly Entry[],
  { sequence, salt }: FrameStamp,
): Uint8Array {
  let capacity = HEADER_BYTES + 256 + 16 * summary.borders.length
  for (const entry of entries) capacity += ENTRY_OVERHEAD_BYTES + entry.payload.length
  const writer = new ByteWriter(capacity)
  writer.u32(FRAME_MAGIC)
  const bodyBytes = writer.reserveU32()
  writer.f64(sequence)
  const bodyCrc = writer.reserveU32()
  const headerCrc = writer.reserveU32()
  encodeSummary(writer, summary)
  for (const entry of entries) encodeEntry(writer, entry)
  if (writer.length > FRAME_BYTES_MAX) throw new RangeError('a batch is larger than 1 GiB')
  writer.setU32(bodyBytes, writer.length - HEADER_BYTES)
  writer.setU32(bodyCrc, crc32c(writer.view(), HEADER_BYTES))
  writer.setU32(headerCrc, (crc32c(writer.view(), 0, headerCrc) ^ salt) >>> 0)
  return writer.view()
}

function encodeSummary(writer: ByteWriter, summary: FrameSummary): void {
  const { term, vote, commit } = summary.hardState
  writer.u8(KINDS.indexOf(summary.kind)).f64(term)
  writer.ascii(vote ?? '').f64(commit)
  writer.f64(summary.truncateFrom ?? 0) // no entry has index 0
  writer.f64(summary.first).u32(summary.count).u32(summary.borders.length)
  for (const border of summary.borders) writer.f64(border.first).f64(border.term)
  if (summary.kind === 'marked' && summary.header !== null) encodeMarker(writer, summary.header)
  if (summary.base === null) return
  encodePosition(writer, summary.base)
  writer.u8(summary.kept ? 1 : 0)
}

function encodeMarker(writer: ByteWriter, header: SnapshotHeader): void {
  encodePosition(writer, header.position)
  writer.ascii(header.id).f64(header.bytes).ascii(header.sha256).bytes(header.configuration)
}

function encodePosition(writer: ByteWriter, { index, term }: LogPosition): void {
  writer.f64(index).f64(term)
}

/** The header at `at`, or null if the bytes there are none: too short, or its checksum fails. */
export function decodeHeader(bytes: Uint8Array, at: number, salt: number): FrameHeader | null {
  if (at + HEADER_BYTES > bytes.length) return null
  const reader = new ByteReader(bytes, at)
  if (reader.u32() !== FRAME_MAGIC) return null
  const crc = (crc32c(bytes, at, at + HEADER_BYTES - 4) ^ salt) >>> 0
  if (new ByteReader(bytes, at + HEADER_BYTES - 4).u32() !== crc) return null
  const frameBytes = HEADER_BYTES + reader.u32()
  return { sequence: reader.f64(), frameBytes, bodyCrc: reader.u32() }
}

/** Whether the whole body is there and its checksum holds. */
export function isBodyWhole(bytes: Uint8Array, at: number, header: FrameHeader): boolean {
  const end = at + header.frameBytes
  return end <= bytes.length && crc32c(bytes, at + HEADER_BYTES, end) === header.bodyCrc
}

/**
 * The body of a frame whose checksum holds.
 * @throws DecodeError
 */
export function decodeSummary(reader: ByteReader): FrameSummary {
  const kind = KINDS[reader.u8()]
  if (kind === undefined) throw new DecodeError('unknown kind of frame')
  const term = asTerm(reader.f64())
  const vote = reader.ascii()
  const hardState = {
    term,
    vote: vote === '' ? null : asNodeId(vote),
    commit: asLogIndex(reader.f64()),
  }
  const truncateFrom = asLogIndex(reader.f64())
  const first = asLogIndex(reader.f64())
  const count = reader.u32()
  const borders: TermBorder[] = []
  for (let left = reader.u32(); left > 0; left--) {
    borders.push({ first: asLogIndex(reader.f64()), term: asTerm(reader.f64()) })
  }
  const header = kind === 'marked' ? decodeMarker(reader) : null
  const base = kind === 'compacted' || kind === 'reset' ? decodePosition(reader) : null
  return {
    kind,
    hardState,
    truncateFrom: truncateFrom === 0 ? null : truncateFrom,
    first,
    count,
    borders,
    base,
    header,
    kept: base !== null && reader.u8() === 1,
  }
}

function decodeMarker(reader: ByteReader): SnapshotHeader {
  const position = decodePosition(reader)
  const id = reader.ascii()
  const bytes = reader.f64()
  const sha256 = reader.ascii()
  // A copy: it outlives the bytes of the whole segment.
  const configuration = reader.bytes().slice()
  return { position, configuration, id, bytes, sha256 }
}

function decodePosition(reader: ByteReader): LogPosition {
  return { index: asLogIndex(reader.f64()), term: asTerm(reader.f64()) }
}

/**
 * The entries behind `summary`; their payloads are views of the reader's bytes.
 * @throws DecodeError
 */
export function decodeEntries(reader: ByteReader, summary: FrameSummary): Entry[] {
  const entries: Entry[] = []
  for (let index = summary.first; entries.length < summary.count; index++) {
    const entry = decodeEntry(reader)
    if (entry.index !== index) throw new DecodeError(`entry ${entry.index} in place of ${index}`)
    entries.push(entry)
  }
  return entries
}

/** Offset of the next bytes that may start a header, or -1. */
export function findMagic(bytes: Buffer, from: number): number {
  return bytes.indexOf(MAGIC_BYTES, from)
}

const MAGIC_BYTES = new ByteWriter(4).u32(FRAME_MAGIC).view()
