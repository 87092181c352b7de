import type { Clock } from '../clock/clock.ts'
import type { Prng } from '../lib/prng.ts'
import type { Admission } from './admission.ts'
import { BODY_BYTES_MAX } from './frame.ts'
import type { Self } from './handshake.ts'

/** One line, of at most 1 kB, without secrets. Lines that could repeat are logged once per change. */
export type TransportLog = (level: 'info' | 'warn', line: string) => void

/** Bounds of one TCP transport. */
export interface TcpLimits {
  /** Longest body of a frame, bytes. */
  readonly bodyBytesMax: number
  /** Unsent bytes of one peer above which messages to it are dropped. */
  readonly queueBytesMax: number
  /** Until both sides have greeted each other, ms; connecting included. */
  readonly handshakeMs: number
  /** Every so many ms each connection shows that it lives. */
  readonly pingMs: number
  /** After so many silent pings a connection counts as dead. Counted, not timed: a stall of this process kills no link. */
  readonly silentPingsMax: number
  /** First and longest wait before dialling again, ms; each is drawn from its upper half. */
  readonly backoffMinMs: number
  readonly backoffMaxMs: number
  /** Accepted connections that have not greeted yet; one more, and the oldest is closed. */
  readonly strangersMax: number
}

export const TCP_LIMITS: TcpLimits = {
  bodyBytesMax: BODY_BYTES_MAX,
  queueBytesMax: 16 * 1024 * 1024,
  handshakeMs: 5_000,
  pingMs: 1_000,
  silentPingsMax: 5,
  backoffMinMs: 50,
  backoffMaxMs: 1_000,
  strangersMax: 64,
}

/** What the parts of one TCP transport share. */
export interface TcpContext {
  readonly self: Self
  readonly admission: Admission
  /** how many connected nodes are no members */
  readonly guests: () => number
  readonly clock: Clock
  readonly prng: Prng
  readonly log: TransportLog
  readonly limits: TcpLimits
}

const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'not permitted',
  EADDRINUSE: 'the address is in use by another process',
  EADDRNOTAVAIL: 'this machine has no such address',
  EAI_AGAIN: 'the host name cannot be looked up',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'no route to network',
  ENOTFOUND: 'unknown host name',
  EPIPE: 'connection closed',
  ETIMEDOUT: 'connection timed out',
}

/** An error of a socket or of a file in words, with its code. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause !== undefined) return `${error.message}: ${describeError(error.cause)}`
  const { code, message } = error as NodeJS.ErrnoException
  const words = code === undefined ? undefined : WORDS[code]
  return words === undefined ? message : `${words} (${code})`
}
