import { crc32 } from 'node:zlib'
import { ByteReader, ByteWriter, DecodeError } from '../../lib/bytes.ts'
import { asLogIndex, asNodeId, asTerm, type Identity, type LogPosition } from '../../raft/types.ts'
import { Chain } from '../chain.ts'
import type { Applied } from '../state-machine.ts'

/** How far the machine is, and what all the rest must come to: written in one batch with it. */
export interface Account {
  readonly identity: Identity
  readonly position: LogPosition
  readonly configuration: Uint8Array
  /** of its `Chain` */
  readonly chain: Uint8Array
  /** the log's time, Unix ms */
  readonly nowMs: number
  readonly tally: Tally
}

/** Over all entries of the store but the account: one that is lost, stale or changed shows. */
export interface Tally {
  readonly entries: number
  /** of their checksums, modulo 2^32 */
  readonly sum: number
}

export const NO_ENTRIES: Tally = { entries: 0, sum: 0 }
const VERSION = 1
const SUM_BYTES = 4

/** What is stored under `key` for `body`: a checksum of both goes before. */
export function stored(key: Uint8Array, body: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(SUM_BYTES + body.length)
  bytes.writeUInt32LE(crc32(body, crc32(key)))
  bytes.set(body, SUM_BYTES)
  return bytes
}

/** @throws DecodeError when key and value are not those that were stored */
export function bodyOf(key: Uint8Array, value: Uint8Array): Uint8Array {
  const body = value.subarray(SUM_BYTES)
  if (value.length < SUM_BYTES || crc32(body, crc32(key)) !== sumOf(value)) {
    throw new DecodeError('an entry differs from its checksum')
  }
  return body
}

export function added({ entries, sum }: Tally, value: Uint8Array): Tally {
  return { entries: entries + 1, sum: (sum + sumOf(value)) >>> 0 }
}

export function taken({ entries, sum }: Tally, value: Uint8Array): Tally {
  return { entries: entries - 1, sum: (sum - sumOf(value)) >>> 0 }
}

export function sameTally(a: Tally, b: Tally): boolean {
  return a.entries === b.entries && a.sum === b.sum
}

export function encodeAccount(account: Account): Uint8Array {
  const { identity, position, tally } = account
  const writer = new ByteWriter().u8(VERSION)
  for (const name of [identity.clusterId, identity.nodeId, identity.incarnation]) {
    writer.bytes(Buffer.from(name))
  }
  writer.f64(position.index).f64(position.term)
  writer.bytes(account.configuration).bytes(account.chain).f64(account.nowMs)
  return writer.f64(tally.entries).u32(tally.sum).view()
}

/** @throws DecodeError */
export function decodeAccount(bytes: Uint8Array): Account {
  const reader = new ByteReader(bytes)
  reader.expect(VERSION, 'an account of version')
  const name = () => Buffer.from(reader.bytes()).toString()
  const identity = { clusterId: name(), nodeId: asNodeId(name()), incarnation: name() }
  const position = { index: asLogIndex(reader.f64()), term: asTerm(reader.f64()) }
  const configuration = reader.bytes().slice()
  const chain = reader.bytes().slice()
  const nowMs = reader.f64()
  const tally = { entries: reader.f64(), sum: reader.u32() }
  reader.end()
  return { identity, position, configuration, chain, nowMs, tally }
}

export function appliedOf({ position, configuration, chain }: Account): Applied {
  return { ...position, configuration, chainHash: new Chain(chain).hash() }
}

function sumOf(value: Uint8Array): number {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).readUInt32LE()
}
