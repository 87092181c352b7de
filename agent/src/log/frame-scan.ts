import { AssertionError } from '../lib/assert.ts'
import { ByteReader, DecodeError } from '../lib/bytes.ts'
import type { Entry, LogIndex } from '../raft/types.ts'
import {
  decodeEntries,
  decodeHeader,
  decodeSummary,
  type FrameStamp,
  type FrameSummary,
  findMagic,
  HEAD_BYTES,
  HEADER_BYTES,
  isBodyWhole,
} from './record.ts'

/** How the frames of a segment end. */
export type ScanEnd =
  /** `sequence` of the next frame, which would stand at `end`; behind are zeros, or nothing. */
  | {
      readonly kind: 'whole'
      readonly end: number
      readonly sequence: number
      readonly last: LastKind
    }
  /** The bytes from `end` on may be a write that a crash cut short: no write came after them (C4). */
  | { readonly kind: 'torn'; readonly end: number; readonly sequence: number }
  /** No crash explains it (C5). */
  | { readonly kind: 'damaged'; readonly at: number; readonly why: string }

type LastKind = FrameSummary['kind'] | 'none'

/**
 * Walks the frames of a whole segment and hands each to `visit`, which throws if the log cannot hold it.
 *
 * A frame that fails its checks is torn only if it is the last thing ever written, because one write is
 * outstanding at a time. Anything that a later write left behind it proves damage: with its header
 * whole, any byte behind its end that is not zero; else, any later header.
 */
export function scanSegment(
  bytes: Uint8Array,
  first: FrameStamp,
  visit: (summary: FrameSummary, at: number, end: number) => void,
): ScanEnd {
  let at = HEAD_BYTES
  let sequence = first.sequence
  let last: LastKind = 'none'
  for (;;) {
    const frame = frameAt(bytes, at, { sequence, salt: first.salt }, last)
    if (frame.kind !== 'frame') return frame
    try {
      const summary = decodeSummary(new ByteReader(bytes, at + HEADER_BYTES))
      visit(summary, at, frame.end)
      last = summary.kind
    } catch (cause) {
      if (!(cause instanceof AssertionError || cause instanceof DecodeError)) throw cause
      return { kind: 'damaged', at, why: `frame ${sequence} breaks a rule: ${cause.message}` }
    }
    at = frame.end
    sequence++
  }
}

/** The frame that stands at `at` and proves itself, or how the segment ends there. */
function frameAt(
  bytes: Uint8Array,
  at: number,
  { sequence, salt }: FrameStamp,
  last: LastKind,
): ScanEnd | { readonly kind: 'frame'; readonly end: number } {
  const header = decodeHeader(bytes, at, salt)
  if (header === null && isZero(bytes, at)) return { kind: 'whole', end: at, sequence, last }
  if (last === 'sealed') return { kind: 'damaged', at, why: 'bytes after the seal' }
  if (header === null) return withoutHeader(bytes, at, { sequence, salt })
  if (header.sequence !== sequence) {
    return { kind: 'damaged', at, why: `frame ${header.sequence} where ${sequence} belongs` }
  }
  const end = at + header.frameBytes
  if (isBodyWhole(bytes, at, header)) return { kind: 'frame', end }
  if (isZero(bytes, end)) return { kind: 'torn', end: at, sequence }
  return { kind: 'damaged', at, why: `checksum of frame ${sequence}, and later writes follow` }
}

/** Bytes that no header starts: torn, unless a later frame's header is found. */
function withoutHeader(bytes: Uint8Array, at: number, { sequence, salt }: FrameStamp): ScanEnd {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let next = findMagic(buffer, at + 1); next !== -1; next = findMagic(buffer, next + 1)) {
    const later = decodeHeader(bytes, next, salt)
    if (later === null || later.sequence < sequence) continue
    const why = `no frame ${sequence}, but frame ${later.sequence} follows at offset ${next}`
    return { kind: 'damaged', at, why }
  }
  return { kind: 'torn', end: at, sequence }
}

/** Whether nothing but zeros follows. */
function isZero(bytes: Uint8Array, from: number): boolean {
  for (let at = from; at < bytes.length; at++) if (bytes[at] !== 0) return false
  return true
}

/**
 * The entries from `from` to `upTo` among frames that were durable: every checksum is verified (C8).
 * Their payloads are views of `bytes`.
 * @throws DecodeError with the offset in `bytes`
 */
export function decodeSpan(
  bytes: Uint8Array,
  salt: number,
  { from, upTo }: { from: LogIndex; upTo: LogIndex },
): Entry[] {
  const entries: Entry[] = []
  for (let at = 0; at < bytes.length; ) {
    const header = decodeHeader(bytes, at, salt)
    if (header === null || !isBodyWhole(bytes, at, header)) {
      throw new DecodeError(`checksum fails at +${at}`)
    }
    const reader = new ByteReader(bytes, at + HEADER_BYTES)
    const summary = decodeSummary(reader)
    at += header.frameBytes
    if (summary.count === 0 || summary.first + summary.count <= from) continue
    if (summary.first > upTo) break
    for (const entry of decodeEntries(reader, summary)) {
      if (entry.index >= from && entry.index <= upTo) entries.push(entry)
    }
  }
  return entries
}
