import { ByteReader, ByteWriter, DecodeError } from '../../lib/bytes.ts'
import type { KvRow } from './row.ts'

/** Why a step of a transaction, or a session's renewal, was refused. The place is its code: append only. */
const REASONS = [
  'stale-index',
  'locked',
  'lock-delay',
  'not-locked',
  'no-key',
  'key-exists',
  'other-session',
  'no-session',
  'too-many',
  'too-large',
] as const

export type Reason = (typeof REASONS)[number]

export interface Failure {
  /** place of the step in its transaction, from 0 */
  readonly step: number
  readonly reason: Reason
}

/** A row as a transaction answers it: the value only where it was asked for. */
export interface AnsweredRow extends Omit<KvRow, 'value' | 'contentType'> {
  readonly key: Uint8Array
  readonly value: Uint8Array | null
}

/** What a command of the whole set answers; travels as the value of a `done` result. */
export type KvOutcome =
  | { readonly kind: 'rows'; readonly rows: readonly AnsweredRow[] }
  /** Nothing happened. */
  | { readonly kind: 'failures'; readonly failures: readonly Failure[] }

const ROWS = 1
const FAILURES = 2
const LOW_BITS = 0xffff_ffffn

export function encodeOutcome(outcome: KvOutcome): Uint8Array {
  const writer = new ByteWriter()
  if (outcome.kind === 'failures') {
    writer.u8(FAILURES)
    for (const { step, reason } of outcome.failures) writer.u32(step).u8(REASONS.indexOf(reason))
    return writer.view()
  }
  writer.u8(ROWS)
  for (const row of outcome.rows) writeRow(writer, row)
  return writer.view()
}

/** @throws DecodeError */
export function decodeOutcome(bytes: Uint8Array): KvOutcome {
  const reader = new ByteReader(bytes)
  if (reader.u8() === ROWS) {
    const rows: AnsweredRow[] = []
    while (reader.remaining > 0) rows.push(readRow(reader))
    return { kind: 'rows', rows }
  }
  const failures: Failure[] = []
  while (reader.remaining > 0) {
    const step = reader.u32()
    const reason = REASONS[reader.u8()]
    if (reason === undefined) throw new DecodeError('a failure of an unknown reason')
    failures.push({ step, reason })
  }
  return { kind: 'failures', failures }
}

function writeRow(writer: ByteWriter, row: AnsweredRow): void {
  writer
    .bytes(row.key)
    .u8(row.value === null ? 0 : 1)
    .bytes(row.value ?? new Uint8Array(0))
    .f64(row.createIndex)
    .f64(row.modifyIndex)
    .f64(row.lockIndex)
    .u32(Number(row.flags & LOW_BITS))
    .u32(Number(row.flags >> 32n))
    .ascii(row.session)
}

function readRow(reader: ByteReader): AnsweredRow {
  const key = reader.bytes()
  const hasValue = reader.u8() === 1
  const value = reader.bytes()
  const indexes = {
    createIndex: reader.f64(),
    modifyIndex: reader.f64(),
    lockIndex: reader.f64(),
  }
  const low = BigInt(reader.u32())
  const flags = low | (BigInt(reader.u32()) << 32n)
  return { key, value: hasValue ? value : null, ...indexes, flags, session: reader.ascii() }
}
