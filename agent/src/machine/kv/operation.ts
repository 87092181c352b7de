import { type ByteReader, type ByteWriter, DecodeError } from '../../lib/bytes.ts'

/** What a step of a transaction does. The place is its code in the log: append only. */
export const VERBS = [
  'set',
  'cas',
  'lock',
  'unlock',
  'get',
  'get-tree',
  'check-index',
  'check-session',
  'check-not-exists',
  'delete',
  'delete-tree',
  'delete-cas',
  'get-or-empty',
] as const

export type Verb = (typeof VERBS)[number]

/** One step of a transaction. What a verb has no use for is as in `operation`. */
export interface Operation {
  readonly verb: Verb
  /** of `get-tree` and `delete-tree` the prefix */
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** opaque, unsigned 64 bits */
  readonly flags: bigint
  /** `cas`, `delete-cas`, `check-index`: what the key's modify index has to be; 0 to `cas`: no such key */
  readonly index: number
  /** `lock`, `unlock`, `check-session`: whose; '' none */
  readonly session: string
  /** The key goes by itself after so many ms at least; 0: never. */
  readonly ttlMs: number
  /** '' when none was given */
  readonly contentType: string
}

const NO_VALUE = new Uint8Array(0)
const FLAGS_END = 1n << 64n
const LOW_BITS = 0xffff_ffffn

export function operation(
  verb: Verb,
  key: Uint8Array,
  given: Partial<Omit<Operation, 'verb' | 'key'>> = {},
): Operation {
  return {
    verb,
    key,
    value: NO_VALUE,
    flags: 0n,
    index: 0,
    session: '',
    ttlMs: 0,
    contentType: '',
    ...given,
  }
}

/** Whether it changes anything, so that it has to go through the log. */
export function isWrite({ verb }: Operation): boolean {
  return !verb.startsWith('get') && !verb.startsWith('check-')
}

export function writeOperation(writer: ByteWriter, one: Operation): void {
  if (one.flags < 0n || one.flags >= FLAGS_END) throw new RangeError('flags have 64 bits')
  writer
    .u8(VERBS.indexOf(one.verb))
    .bytes(one.key)
    .bytes(one.value)
    .u32(Number(one.flags & LOW_BITS))
    .u32(Number(one.flags >> 32n))
    .f64(one.index)
    .ascii(one.session)
    .f64(one.ttlMs)
    .bytes(Buffer.from(one.contentType, 'latin1'))
}

/**
 * What `writeOperation` wrote; key and value are views.
 * @throws DecodeError
 */
export function readOperation(reader: ByteReader): Operation {
  const verb = VERBS[reader.u8()]
  if (verb === undefined) throw new DecodeError('an operation of an unknown verb')
  const key = reader.bytes()
  const value = reader.bytes()
  const low = BigInt(reader.u32())
  return {
    verb,
    key,
    value,
    flags: low | (BigInt(reader.u32()) << 32n),
    index: reader.f64(),
    session: reader.ascii(),
    ttlMs: reader.f64(),
    contentType: latin1(reader.bytes()),
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
