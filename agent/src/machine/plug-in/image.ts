import { createHash } from 'node:crypto'
import { ByteReader, ByteWriter, DecodeError } from '../../lib/bytes.ts'
import { asLogIndex, asNodeId, asTerm, type Identity, type LogPosition } from '../../raft/types.ts'
import { MemorySessions } from './memory-sessions.ts'

/** All that a machine in memory is: what its snapshot files hold. */
export interface Image {
  readonly machine: string
  readonly identity: Identity
  readonly position: LogPosition
  /** the membership in force there */
  readonly configuration: Uint8Array
  /** of its `Chain` */
  readonly chain: Uint8Array
  /** the log's time, Unix ms */
  readonly nowMs: number
  readonly sessions: MemorySessions
  /** What the author's `snapshot` gave. */
  readonly state: Uint8Array
}

/** "RNMI" and a version. */
const MAGIC = [0x52, 0x4e, 0x4d, 0x49, 1] as const
const DIGEST_BYTES = 32
const HEAD_BYTES = 4096

/** The head, the sessions, the state, and a SHA-256 of all before it. */
export function encodeImage(image: Image): Uint8Array {
  const { identity, position, sessions, state } = image
  const writer = new ByteWriter(HEAD_BYTES + state.length)
  for (const byte of MAGIC) writer.u8(byte)
  writer.ascii(image.machine)
  for (const name of [identity.clusterId, identity.nodeId, identity.incarnation]) {
    writer.bytes(Buffer.from(name))
  }
  writer.f64(position.index).f64(position.term)
  writer.bytes(image.configuration).bytes(image.chain).f64(image.nowMs)
  sessions.writeTo(writer)
  writer.bytes(state)
  return writer.raw(digestOf(writer.view())).view()
}

/**
 * What `encodeImage` wrote; the state is a view of `bytes`.
 * @throws DecodeError when a single byte differs
 */
export function decodeImage(bytes: Uint8Array): Image {
  const end = bytes.length - DIGEST_BYTES
  if (end < MAGIC.length) throw new DecodeError('too short for a snapshot')
  const body = bytes.subarray(0, end)
  if (Buffer.compare(digestOf(body), bytes.subarray(end)) !== 0) {
    throw new DecodeError('the checksum differs')
  }
  const reader = new ByteReader(body)
  for (const byte of MAGIC) reader.expect(byte, 'a snapshot with the byte')
  const machine = reader.ascii()
  const identity: Identity = {
    clusterId: textOf(reader.bytes()),
    nodeId: asNodeId(textOf(reader.bytes())),
    incarnation: textOf(reader.bytes()),
  }
  const position = { index: asLogIndex(reader.f64()), term: asTerm(reader.f64()) }
  const configuration = reader.bytes().slice()
  const chain = reader.bytes().slice()
  const nowMs = reader.f64()
  const sessions = MemorySessions.readFrom(reader)
  const state = reader.bytes()
  reader.end()
  return { machine, identity, position, configuration, chain, nowMs, sessions, state }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString()
}

function digestOf(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}
