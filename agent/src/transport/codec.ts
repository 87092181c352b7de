import { unreachable } from '../lib/assert.ts'
import { type ByteReader, type ByteWriter, DecodeError } from '../lib/bytes.ts'
import { decodeEntry, ENTRY_OVERHEAD_BYTES, encodeEntry } from '../raft/entry-codec.ts'
import type { Message } from '../raft/message.ts'
import { decodeSnapshotHeader, encodeSnapshotHeader } from '../raft/snapshot-codec.ts'
import {
  asLogIndex,
  asTerm,
  type Entry,
  type LogIndex,
  type LogPosition,
  type NodeId,
  type Term,
} from '../raft/types.ts'

/** On the wire for ever: a number is never used again for something else. */
const CODES = {
  'request-vote': 1,
  'request-vote-reply': 2,
  'append-entries': 3,
  'append-entries-reply': 4,
  'append-entries-refusal': 5,
  heartbeat: 6,
  'heartbeat-reply': 7,
  'read-index': 8,
  'read-index-reply': 9,
  'timeout-now': 10,
  'install-snapshot': 11,
} as const satisfies Record<Message['kind'], number>

const KINDS = new Map<number, Message['kind']>(
  Object.entries(CODES).map(([kind, code]) => [code, kind as Message['kind']]),
)

/** More than any message takes beside its entries. */
const FIXED_BYTES_MAX = 48

/** Both ends of a verified connection: they are not sent, so that nobody can speak for another. */
export interface Direction {
  readonly from: NodeId
  readonly to: NodeId
}

/** An upper bound, for reserving room. */
export function messageBytesMax(message: Message): number {
  if (message.kind === 'install-snapshot') {
    const { configuration, id, sha256 } = message.header
    return FIXED_BYTES_MAX + configuration.length + id.length + sha256.length
  }
  if (message.kind === 'request-vote') return FIXED_BYTES_MAX + message.incarnation.length
  if (message.kind !== 'append-entries') return FIXED_BYTES_MAX
  let bytes = FIXED_BYTES_MAX
  for (const entry of message.entries) bytes += ENTRY_OVERHEAD_BYTES + entry.payload.length
  return bytes
}

/** Kind u8, term f64, then the fields of the kind; without `from` and `to`, see `Direction`. */
export function encodeMessage(writer: ByteWriter, message: Message): void {
  writer.u8(CODES[message.kind]).f64(message.term)
  switch (message.kind) {
    case 'request-vote':
      writer.u8(Number(message.preVote)).u8(Number(message.transfer)).ascii(message.incarnation)
      encodePosition(writer, message.last)
      encodePosition(writer, message.commit)
      return
    case 'request-vote-reply':
      writer.u8(Number(message.preVote)).u8(Number(message.granted))
      encodePosition(writer, message.commit)
      return
    case 'append-entries':
      encodePosition(writer, message.prev)
      writer.f64(message.commit).u32(message.entries.length)
      for (const entry of message.entries) encodeEntry(writer, entry)
      return
    case 'append-entries-reply':
      writer.f64(message.match)
      return
    case 'append-entries-refusal':
      writer.f64(message.prevIndex)
      encodePosition(writer, message.hint)
      return
    case 'heartbeat':
      writer.f64(message.commit).f64(message.context)
      return
    case 'heartbeat-reply':
      writer.f64(message.context).f64(message.lacking)
      return
    case 'read-index':
      writer.f64(message.context)
      return
    case 'read-index-reply':
      writer.f64(message.context).f64(message.index)
      return
    case 'timeout-now':
      return
    case 'install-snapshot':
      encodeSnapshotHeader(writer, message.header)
      return
    default:
      unreachable(message)
  }
}

/**
 * Reads one message, and believes nothing of it: every number is a whole one in [0, 2^53), entries
 * follow `prev` without a gap, terms never fall and never pass the message's own.
 * Payloads are views of the input.
 * @throws DecodeError
 */
export function decodeMessage(reader: ByteReader, direction: Direction): Message {
  const code = reader.u8()
  const kind = KINDS.get(code)
  if (kind === undefined) throw new DecodeError(`unknown kind of message: ${code}`)
  // Each message in one piece: with what all have spread into it, its object would be slow to make, and to read.
  const { from, to } = direction
  const term = decodeTerm(reader)
  switch (kind) {
    case 'request-vote': {
      const preVote = decodeFlag(reader)
      const transfer = decodeFlag(reader)
      const incarnation = reader.ascii()
      const last = decodePosition(reader)
      if (last.term > term) throw new DecodeError('a candidate of a term before its log')
      const commit = decodePosition(reader)
      if (commit.index > last.index || commit.term > last.term) {
        throw new DecodeError('a candidate that lacks what is committed')
      }
      return { kind, from, to, term, preVote, transfer, incarnation, last, commit }
    }
    case 'request-vote-reply': {
      const preVote = decodeFlag(reader)
      const granted = decodeFlag(reader)
      const commit = decodePosition(reader)
      if (commit.term > term) throw new DecodeError('a commit from a later term')
      return { kind, from, to, term, preVote, granted, commit }
    }
    case 'append-entries': {
      const prev = decodePosition(reader)
      const commit = decodeIndex(reader)
      return {
        kind,
        from,
        to,
        term,
        prev,
        commit,
        entries: decodeEntries(reader, prev, term),
      }
    }
    case 'append-entries-reply':
      return { kind, from, to, term, match: decodeIndex(reader) }
    case 'append-entries-refusal':
      return { kind, from, to, term, prevIndex: decodeIndex(reader), hint: decodePosition(reader) }
    case 'heartbeat':
      return { kind, from, to, term, commit: decodeIndex(reader), context: reader.f64() }
    case 'heartbeat-reply':
      return { kind, from, to, term, context: reader.f64(), lacking: decodeIndex(reader) }
    case 'read-index':
      return { kind, from, to, term, context: reader.f64() }
    case 'read-index-reply':
      return { kind, from, to, term, context: reader.f64(), index: decodeIndex(reader) }
    case 'timeout-now':
      return { kind, from, to, term }
    case 'install-snapshot': {
      const header = decodeSnapshotHeader(reader)
      if (header.position.term > term) {
        throw new DecodeError('a snapshot from a term after its message')
      }
      return { kind, from, to, term, header }
    }
    default:
      return unreachable(kind)
  }
}

function encodePosition(writer: ByteWriter, position: LogPosition): void {
  writer.f64(position.index).f64(position.term)
}

/** The announced count is not trusted: nothing is reserved for it, and each entry must really be there. */
function decodeEntries(reader: ByteReader, prev: LogPosition, term: Term): readonly Entry[] {
  const count = reader.u32()
  const entries: Entry[] = []
  let before = prev
  for (let i = 0; i < count; i++) {
    const entry = decodeEntry(reader)
    if (entry.index !== before.index + 1) throw new DecodeError('entries with a gap')
    if (entry.term < before.term || entry.term < 1)
      throw new DecodeError('entries of falling terms')
    const empty = entry.kind === 'no-op' || entry.kind === 'check'
    if (empty && entry.payload.length > 0) throw new DecodeError(`a ${entry.kind} with a payload`)
    entries.push(entry)
    before = entry
  }
  if (before.term > term) throw new DecodeError('entries from a term after their message')
  return entries
}

/** `+ 0` turns −0, which passes for a count, into 0. */
function decodeTerm(reader: ByteReader): Term {
  return asTerm(reader.f64() + 0)
}

function decodeIndex(reader: ByteReader): LogIndex {
  return asLogIndex(reader.f64() + 0)
}

function decodePosition(reader: ByteReader): LogPosition {
  return { index: decodeIndex(reader), term: decodeTerm(reader) }
}

function decodeFlag(reader: ByteReader): boolean {
  const value = reader.u8()
  if (value > 1) throw new DecodeError(`not a flag: ${value}`)
  return value === 1
}
