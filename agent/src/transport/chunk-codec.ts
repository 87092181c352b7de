import { ByteReader, DecodeError } from '../lib/bytes.ts'
import { decodeSnapshotHeader, encodeSnapshotHeader } from '../raft/snapshot-codec.ts'
import type { SnapshotHeader } from '../raft/types.ts'
import { BODY, encodeFrame } from './frame.ts'
import { CHUNK_BYTES_MAX, type ChunkAnswer, type SnapshotChunk } from './transport.ts'

/** Far above what a configuration takes; each chunk carries one. */
const CONFIGURATION_BYTES_MAX = 64 * 1024
const WHY_CHARACTERS_MAX = 600
/** A node names its snapshots so; nothing else is let near a file name. */
const ID = /^[0-9a-z-]{1,64}$/

/** On the wire for ever. */
const ANSWER = { held: 1, complete: 2, refused: 3 } as const

/** Header, offset f64, bytes. */
export function chunkFrame({ header, offset, bytes }: SnapshotChunk): Uint8Array {
  const capacity = 512 + header.configuration.length + bytes.length
  return encodeFrame(body => {
    encodeSnapshotHeader(body.u8(BODY.chunk), header)
    body.f64(offset).bytes(bytes)
  }, capacity)
}

/**
 * Reads a body whose first byte was `BODY.chunk`; its bytes are a view of the input.
 * @throws DecodeError, also when the numbers contradict each other
 */
export function decodeChunk(body: Uint8Array): SnapshotChunk {
  const reader = new ByteReader(body, 1)
  const header = decodeSnapshotHeader(reader)
  const offset = reader.f64() + 0
  const bytes = reader.bytes()
  reader.end()
  checkHeader(header)
  if (bytes.length > CHUNK_BYTES_MAX) throw new DecodeError(`a chunk of ${bytes.length} bytes`)
  if (offset + bytes.length > header.bytes) {
    throw new DecodeError(`a chunk that ends behind its snapshot of ${header.bytes} bytes`)
  }
  return { header, offset, bytes }
}

function checkHeader({ id, bytes, position, configuration }: SnapshotHeader): void {
  if (!ID.test(id)) throw new DecodeError('a snapshot with a malformed id')
  if (bytes === 0) throw new DecodeError('an empty snapshot')
  if (position.index === 0 || position.term === 0) throw new DecodeError('a snapshot of nothing')
  if (configuration.length > CONFIGURATION_BYTES_MAX) {
    throw new DecodeError(`a configuration of ${configuration.length} bytes`)
  }
}

export function answerFrame(answer: ChunkAnswer): Uint8Array {
  return encodeFrame(body => {
    body.u8(BODY.chunkAnswer).u8(ANSWER[answer.kind])
    if (answer.kind === 'held') body.f64(answer.bytes)
    if (answer.kind === 'refused') body.bytes(Buffer.from(answer.why.slice(0, WHY_CHARACTERS_MAX)))
  })
}

/**
 * Reads a body whose first byte was `BODY.chunkAnswer`.
 * @throws DecodeError
 */
export function decodeAnswer(body: Uint8Array): ChunkAnswer {
  const reader = new ByteReader(body, 1)
  const answer = readAnswer(reader)
  reader.end()
  return answer
}

function readAnswer(reader: ByteReader): ChunkAnswer {
  const kind = reader.u8()
  if (kind === ANSWER.held) return { kind: 'held', bytes: reader.f64() + 0 }
  if (kind === ANSWER.complete) return { kind: 'complete' }
  if (kind !== ANSWER.refused) throw new DecodeError(`unknown answer to a chunk: ${kind}`)
  // Made safe for a log line and a terminal.
  const why = Buffer.from(reader.bytes()).toString().replaceAll(/\p{C}/gu, '?')
  return { kind: 'refused', why: why.slice(0, WHY_CHARACTERS_MAX) }
}
