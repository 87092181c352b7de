import type { Clock } from '../clock/clock.ts'
import type { Prng } from '../lib/prng.ts'
import type { Admission } from './admission.ts'
import { BODY_BYTES_MAX } from './frame.ts'
import type { Self } from './handshake.ts'
import type { Wire } from './wire.ts'

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
  readonly wire: Wire
  readonly admission: Admission
  /** how many connected nodes are no members */
  readonly guests: () => number
  readonly clock: Clock
  readonly prng: Prng
  readonly log: TransportLog
  readonly limits: TcpLimits
}

const UNKNOWN_CA = 'the certificate of the other side is of no CA that is known here'
const OTHER_SECRET = 'it has another secret, or is of another cluster'

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
  CERT_HAS_EXPIRED: 'the certificate of the other side, or of its CA, has expired',
  CERT_NOT_YET_VALID: 'the certificate of the other side is not valid yet: do the clocks agree?',
  CERT_SIGNATURE_FAILURE: 'the certificate of the other side was tampered with',
  DEPTH_ZERO_SELF_SIGNED_CERT: UNKNOWN_CA,
  INVALID_PURPOSE: 'the certificate of the other side is not made for this',
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_CA,
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_CA,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_CA,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_CA,
  ERR_SSL_BINDER_DOES_NOT_VERIFY: OTHER_SECRET,
  ERR_SSL_HTTP_REQUEST: 'it speaks plain HTTP where TLS is spoken',
  ERR_SSL_NO_APPLICATION_PROTOCOL: 'it is no raft-nginx agent',
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: 'it does not show that it knows the secret',
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'it has no certificate',
  ERR_SSL_SSLV3_ALERT_ILLEGAL_PARAMETER: OTHER_SECRET,
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: 'it is no raft-nginx agent',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'it wants a certificate',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'it speaks only older versions of TLS than 1.3',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it speaks no TLS',
}

/** An error of a socket or of a file in words, with its code. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause !== undefined) return `${error.message}: ${describeError(error.cause)}`
  const { code, message, reason } = error as NodeJS.ErrnoException & { reason?: string }
  const words = code === undefined ? undefined : WORDS[code]
  // OpenSSL's messages begin with addresses in memory, and end with lines of its source.
  return words === undefined ? (reason ?? message) : `${words} (${code})`
}
