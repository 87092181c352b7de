import { type ByteReader, type ByteWriter, DecodeError } from '../../lib/bytes.ts'

/** What happens to the keys that a session held when it ends: they are let go, or they go. */
export type Behavior = 'release' | 'delete'

/** A session as it is asked for. Its id was drawn before: nothing is drawn while the log is applied. */
export interface NewSession {
  /** lower-case UUID, as clients of Consul expect it */
  readonly id: string
  /** UTF-8, for people */
  readonly name: string
  readonly node: string
  readonly behavior: Behavior
  /** How long it lives at least after it was made or renewed; 0: until it is destroyed. */
  readonly ttlMs: number
  /** How long at least nobody gets a lock that ended with its session. */
  readonly lockDelayMs: number
}

export interface Session extends NewSession {
  readonly createIndex: number
  /** of the entry that made it or last renewed it */
  readonly renewIndex: number
}

const BEHAVIORS: readonly Behavior[] = ['release', 'delete']

export function writeSession(writer: ByteWriter, session: NewSession): void {
  writer
    .ascii(session.id)
    .bytes(Buffer.from(session.name))
    .bytes(Buffer.from(session.node))
    .u8(BEHAVIORS.indexOf(session.behavior))
    .f64(session.ttlMs)
    .f64(session.lockDelayMs)
}

/** @throws DecodeError */
export function readSession(reader: ByteReader): NewSession {
  const id = reader.ascii()
  const name = text(reader.bytes())
  const node = text(reader.bytes())
  const behavior = BEHAVIORS[reader.u8()]
  if (behavior === undefined) throw new DecodeError('a session of an unknown behavior')
  return { id, name, node, behavior, ttlMs: reader.f64(), lockDelayMs: reader.f64() }
}

function text(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new DecodeError('not UTF-8')
  }
}
