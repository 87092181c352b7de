import { unreachable } from '../../lib/assert.ts'
import { ByteReader, ByteWriter, DecodeError } from '../../lib/bytes.ts'

/** One entry's worth of change; all of it happens, or none. Keys and values are bytes. */
export type KvCommand =
  | { readonly kind: 'set'; readonly pairs: readonly KvPair[] }
  | { readonly kind: 'delete'; readonly key: Uint8Array }

export interface KvPair {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

const VERSION = 1
const SET = 1
const DELETE = 2
/** Version and kind. */
const HEADER_BYTES = 2
/** Length (u32) before each key and value. */
const LENGTH_BYTES = 4

/** Version, kind, then the pairs up to the end, or the key that is to go. */
export function encodeCommand(command: KvCommand): Uint8Array {
  const writer = new ByteWriter(encodedLength(command)).u8(VERSION)
  switch (command.kind) {
    case 'set':
      writer.u8(SET)
      for (const pair of command.pairs) writer.bytes(pair.key).bytes(pair.value)
      return writer.view()
    case 'delete':
      return writer.u8(DELETE).bytes(command.key).view()
    default:
      return unreachable(command)
  }
}

/**
 * What `encodeCommand` wrote. Keys and values are views of `bytes`, not copies.
 * @throws DecodeError
 */
export function decodeCommand(bytes: Uint8Array): KvCommand {
  const reader = new ByteReader(bytes)
  const version = reader.u8()
  if (version !== VERSION) throw new DecodeError(`a command of version ${version}`)
  const kind = reader.u8()
  if (kind === SET) return { kind: 'set', pairs: decodePairs(reader) }
  if (kind !== DELETE) throw new DecodeError(`a command of kind ${kind}`)
  const key = reader.bytes()
  reader.end()
  return { kind: 'delete', key }
}

function decodePairs(reader: ByteReader): KvPair[] {
  const pairs: KvPair[] = []
  while (reader.remaining > 0) pairs.push({ key: reader.bytes(), value: reader.bytes() })
  return pairs
}

function encodedLength(command: KvCommand): number {
  if (command.kind === 'delete') return HEADER_BYTES + LENGTH_BYTES + command.key.length
  let length = HEADER_BYTES
  for (const { key, value } of command.pairs) length += 2 * LENGTH_BYTES + key.length + value.length
  return length
}
