import { ByteReader, DecodeError } from '../lib/bytes.ts'
import { parseHostPort } from '../lib/host-port.ts'
import { asNodeId, type Identity, type NodeId } from '../raft/types.ts'
import { BODY, encodeFrame } from './frame.ts'
import type { Contact } from './transport.ts'

/** Raised when the bytes between peers change; peers of another version are refused in words. */
export const PROTOCOL_VERSION = 3

/** Longest body before a peer is verified: nobody else makes this node keep more. */
export const GREETING_BYTES_MAX = 2048

const MAGIC = Buffer.from('RAFT-NGX', 'latin1')
const REASON_BYTES_MAX = 600
const STRANGER = 1

/** What each side says of itself: the dialler first (hello), then the side that accepted (welcome). */
export interface Greeting extends Contact {
  readonly kind: 'hello' | 'welcome'
  readonly clusterId: string
  readonly from: NodeId
  readonly to: NodeId
  /** see `Identity` */
  readonly incarnation: string
}

/** A body that may come before a peer is verified. */
export type Opening =
  | Greeting
  | { readonly kind: 'other-version'; readonly version: number }
  /** `stranger`: the name is known, with another data directory */
  | { readonly kind: 'refusal'; readonly reason: string; readonly stranger: boolean }

/** Who this node is, and how others reach it. */
export type Self = Identity & Contact

/** The frame of a hello or a welcome. */
export function greetingFrame(kind: Greeting['kind'], self: Self, to: NodeId): Uint8Array {
  return encodeFrame(body => {
    body.u8(BODY[kind]).raw(MAGIC).u8(PROTOCOL_VERSION)
    body.ascii(self.clusterId).ascii(self.nodeId).ascii(to).ascii(self.incarnation)
    body
      .ascii(self.address)
      .ascii(self.raftBind)
      .ascii(self.gateway ?? '')
  })
}

/** The frame that tells a peer, of whatever version, why it is not accepted. */
export function refusalFrame(reason: string, { stranger = false } = {}): Uint8Array {
  return encodeFrame(body => {
    body
      .u8(BODY.refusal)
      .raw(MAGIC)
      .bytes(Buffer.from(reason.slice(0, REASON_BYTES_MAX), 'latin1'))
    // Peers of version 1, who learn here that they are, take nothing behind the words.
    if (stranger) body.u8(STRANGER)
  })
}

/** @throws DecodeError unless the body is one of ours */
export function decodeOpening(body: Uint8Array): Opening {
  const reader = new ByteReader(body)
  const code = reader.u8()
  if (Buffer.compare(reader.raw(MAGIC.length), MAGIC) !== 0) throw new DecodeError('no greeting')
  if (code === BODY.refusal) {
    const reason = printable(reader.bytes())
    const stranger = reader.remaining > 0
    if (stranger) reader.expect(STRANGER, 'kind of refusal')
    reader.end()
    return { kind: 'refusal', reason, stranger }
  }
  if (code !== BODY.hello && code !== BODY.welcome) throw new DecodeError('no greeting')
  const version = reader.u8()
  if (version !== PROTOCOL_VERSION) return { kind: 'other-version', version }
  const kind = code === BODY.hello ? 'hello' : 'welcome'
  const clusterId = reader.ascii()
  const greeting = { kind, clusterId, from: nodeId(reader), to: nodeId(reader) } as const
  const incarnation = reader.ascii()
  if (incarnation === '') throw new DecodeError('a greeting without an incarnation')
  const address = hostPort(reader)
  const raftBind = hostPort(reader)
  const gateway = reader.ascii()
  reader.end()
  return { ...greeting, incarnation, address, raftBind, gateway: gateway === '' ? null : gateway }
}

/** As text: what is learnt here goes into the configuration and to the gateways. */
function hostPort(reader: ByteReader): string {
  const text = reader.ascii()
  const address = parseHostPort(text)
  if (address === null || address.host === '' || address.port === 0) {
    throw new DecodeError('a greeting with a malformed address')
  }
  return text
}

/**
 * Why this side does not take part with `greeting`, in words; null when it does. The incarnation is checked by `Admission`.
 * The words go to whoever dialled, so they never name what a member has to know: the cluster, an incarnation.
 * @param strange why an id is not let in; null when it is
 */
export function objection(
  greeting: Greeting,
  self: Identity,
  strange: (id: NodeId) => string | null,
): string | null {
  const { clusterId, from, to } = greeting
  if (clusterId !== self.clusterId) {
    return `${from} belongs to cluster ${clusterId}, ${self.nodeId} to another`
  }
  if (from === self.nodeId) return `another agent goes by the id of this node, ${from}`
  const reason = strange(from)
  if (reason !== null) return reason
  if (to !== self.nodeId) return `${from} looks for ${to} at the address of ${self.nodeId}`
  return null
}

/** Says that a peer's program is older or newer. */
export function versionObjection(version: number, self: Identity): string {
  return `protocol version ${version} is not spoken by ${self.nodeId}, which speaks ${PROTOCOL_VERSION}`
}

function nodeId(reader: ByteReader): NodeId {
  const text = reader.ascii()
  try {
    return asNodeId(text)
  } catch (cause) {
    throw new DecodeError('a greeting with a malformed id', { cause })
  }
}

/** Bytes of a peer that is not verified, made safe for a log line and a terminal. */
function printable(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, REASON_BYTES_MAX))
    .toString('latin1')
    .replaceAll(/[^\x20-\x7e]/g, '?')
}
