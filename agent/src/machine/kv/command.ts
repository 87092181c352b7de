import { unreachable } from '../../lib/assert.ts'
import { ByteReader, ByteWriter, DecodeError } from '../../lib/bytes.ts'
import { type Expiry, readExpiry, writeExpiry } from './expiry.ts'
import { type Operation, readOperation, writeOperation } from './operation.ts'
import { type NewSession, readSession, writeSession } from './session.ts'

/** One entry's worth of change; all of it happens, or none. Keys and values are bytes. */
export type KvCommand =
  | { readonly kind: 'set'; readonly pairs: readonly KvPair[] }
  | { readonly kind: 'delete'; readonly key: Uint8Array }
  /** In order, each on what those before it left; one that fails fails all. */
  | { readonly kind: 'transaction'; readonly operations: readonly Operation[] }
  | { readonly kind: 'create-session'; readonly session: NewSession }
  | { readonly kind: 'renew-session'; readonly id: string }
  | { readonly kind: 'destroy-session'; readonly id: string }
  /** What the leader has seen outlive its lifetime; each by itself, and only if it is still as the leader saw it. */
  | { readonly kind: 'expire'; readonly expiries: readonly Expiry[] }

export interface KvPair {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** `set` and `delete` alone, as all programs since the first read them. */
const PLAIN = 1
const WHOLE = 2
const SET = 1
const DELETE = 2
const TRANSACTION = 3
const CREATE_SESSION = 4
const RENEW_SESSION = 5
const DESTROY_SESSION = 6
const EXPIRE = 7
/** Version and kind. */
const HEADER_BYTES = 2
/** Length (u32) before each key and value. */
const LENGTH_BYTES = 4

/** Version, kind, then the pairs up to the end, or the key that is to go. */
export function encodeCommand(command: KvCommand): Uint8Array {
  switch (command.kind) {
    case 'set': {
      const writer = new ByteWriter(encodedLength(command.pairs)).u8(PLAIN).u8(SET)
      for (const pair of command.pairs) writer.bytes(pair.key).bytes(pair.value)
      return writer.view()
    }
    case 'delete': {
      const capacity = HEADER_BYTES + LENGTH_BYTES + command.key.length
      return new ByteWriter(capacity).u8(PLAIN).u8(DELETE).bytes(command.key).view()
    }
    case 'transaction':
      return encodeList(TRANSACTION, command.operations, writeOperation)
    case 'create-session':
      return encodeList(CREATE_SESSION, [command.session], writeSession)
    case 'renew-session':
      return new ByteWriter().u8(WHOLE).u8(RENEW_SESSION).ascii(command.id).view()
    case 'destroy-session':
      return new ByteWriter().u8(WHOLE).u8(DESTROY_SESSION).ascii(command.id).view()
    case 'expire':
      return encodeList(EXPIRE, command.expiries, writeExpiry)
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
  const kind = reader.u8()
  if (version === PLAIN) return decodePlain(kind, reader)
  if (version !== WHOLE) throw new DecodeError(`a command of version ${version}`)
  const command = decodeWhole(kind, reader)
  reader.end()
  return command
}

function decodePlain(kind: number, reader: ByteReader): KvCommand {
  if (kind === SET) {
    return {
      kind: 'set',
      pairs: readAll(reader, () => ({ key: reader.bytes(), value: reader.bytes() })),
    }
  }
  if (kind !== DELETE) throw new DecodeError(`a command of kind ${kind}`)
  const key = reader.bytes()
  reader.end()
  return { kind: 'delete', key }
}

function decodeWhole(kind: number, reader: ByteReader): KvCommand {
  switch (kind) {
    case TRANSACTION:
      return { kind: 'transaction', operations: readAll(reader, readOperation) }
    case CREATE_SESSION:
      return { kind: 'create-session', session: readSession(reader) }
    case RENEW_SESSION:
      return { kind: 'renew-session', id: reader.ascii() }
    case DESTROY_SESSION:
      return { kind: 'destroy-session', id: reader.ascii() }
    case EXPIRE:
      return { kind: 'expire', expiries: readAll(reader, readExpiry) }
    default:
      throw new DecodeError(`a command of kind ${kind}`)
  }
}

function encodeList<T>(
  kind: number,
  items: readonly T[],
  write: (writer: ByteWriter, item: T) => void,
): Uint8Array {
  const writer = new ByteWriter().u8(WHOLE).u8(kind)
  for (const item of items) write(writer, item)
  return writer.view()
}

/** Up to the end. */
function readAll<T>(reader: ByteReader, read: (reader: ByteReader) => T): T[] {
  const items: T[] = []
  while (reader.remaining > 0) items.push(read(reader))
  return items
}

function encodedLength(pairs: readonly KvPair[]): number {
  let length = HEADER_BYTES
  for (const { key, value } of pairs) length += 2 * LENGTH_BYTES + key.length + value.length
  return length
}
