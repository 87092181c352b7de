import { asCount, ByteReader, ByteWriter } from '../lib/bytes.ts'
import type { Idempotency } from '../machine/state-machine.ts'

/** What the log carries of one command, beside its position. */
export interface Envelope {
  /** Unix ms by the clock of the leader that proposed it. */
  readonly timeMs: number
  readonly idempotency: Idempotency | null
  readonly command: Uint8Array
}

const VERSION = 1
const PLAIN = 0
const IDEMPOTENT = 1
const HASH_BYTES = 32
/** Version, kind and time. */
const HEADER_BYTES = 10

export function encodeEnvelope({ timeMs, idempotency, command }: Envelope): Uint8Array {
  const writer = new ByteWriter(HEADER_BYTES + command.length + (idempotency === null ? 0 : 320))
  writer
    .u8(VERSION)
    .u8(idempotency === null ? PLAIN : IDEMPOTENT)
    .f64(timeMs)
  if (idempotency !== null) writer.ascii(idempotency.key).raw(idempotency.requestHash)
  return writer.raw(command).view()
}

/**
 * Views of the payload, not copies.
 * @throws DecodeError for an envelope of another version: this program must not guess what newer
 * members mean by it, so the node stops
 */
export function decodeEnvelope(payload: Uint8Array): Envelope {
  if (payload.length >= HEADER_BYTES && payload[0] === VERSION && payload[1] === PLAIN) {
    return { timeMs: timeOf(payload), idempotency: null, command: payload.subarray(HEADER_BYTES) }
  }
  const reader = new ByteReader(payload)
  reader.expect(VERSION, 'version of envelope')
  const kind = reader.u8()
  const timeMs = reader.f64()
  const idempotency =
    kind === PLAIN ? null : { key: reader.ascii(), requestHash: reader.raw(HASH_BYTES) }
  return { timeMs, idempotency, command: reader.raw(reader.remaining) }
}

/** One view for all: each entry is read on each node, and a view of its own would cost more than the rest of it. */
const eight = new DataView(new ArrayBuffer(8))

/** Of a payload that has its header, whole. */
function timeOf(payload: Uint8Array): number {
  for (let at = 0; at < 8; at++) eight.setUint8(at, payload[2 + at] as number)
  return asCount(eight.getFloat64(0, true))
}
