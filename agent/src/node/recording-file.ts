import type { Recording } from './flight-recorder.ts'

/** A recording with what ended it, as one JSON text: bytes, sets and infinities are tagged objects. */
export interface FlightLog extends Recording {
  /** Version of the program: another one may step otherwise. */
  readonly version: string
  /** What stopped the node, in words. */
  readonly error: string
}

const TAG = '$'

export function encodeFlightLog(log: FlightLog): string {
  return JSON.stringify(log, (_key, value: unknown) => {
    if (value instanceof Uint8Array)
      return { [TAG]: 'bytes', of: Buffer.from(value).toString('base64') }
    if (value instanceof Set) return { [TAG]: 'set', of: [...value] }
    return value
  })
}

/** @throws SyntaxError when it is no JSON */
export function decodeFlightLog(text: string): FlightLog {
  return JSON.parse(text, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null || !(TAG in value) || !('of' in value))
      return value
    if (value[TAG] === 'bytes') return new Uint8Array(Buffer.from(String(value.of), 'base64'))
    return new Set(value.of as unknown[])
  })
}
